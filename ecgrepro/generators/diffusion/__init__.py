"""Diffusion models: the process, its samplers, and three networks."""
