"""Tests of reading, sampling and loading videos."""
