"""Diffusion models: one process, its samplers, and three networks."""
