"""One training step, ours against Meta's: time, memory, where both go, share of the machine."""
