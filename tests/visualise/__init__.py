"""Tests of the pictures of a run."""
