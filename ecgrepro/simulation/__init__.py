"""The physiological model behind the simulated recordings."""
