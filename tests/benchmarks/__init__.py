"""Tests of what is measured: that both sides do the same, and that pages show what was measured."""
