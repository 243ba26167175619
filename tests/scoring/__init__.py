"""Tests of scoring folders of masks."""
