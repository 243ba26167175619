"""Training: the optimisation loop, what happens around its steps, and the run's folder."""
