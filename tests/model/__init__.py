"""Tests of the network, its memory and its checkpoints."""
