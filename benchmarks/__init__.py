"""Speed and memory of a training step, ours and Meta's."""
