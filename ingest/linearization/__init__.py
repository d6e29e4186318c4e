"""Jacobians of any MuJoCo model's step, at states of one's own: MuJoCo's C engine steps, JAX differentiates."""
