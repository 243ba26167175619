"""Tests of tracking whole videos."""
