"""SAM 2 as a differentiable tracker: network, memory, tracking, checkpoints."""
