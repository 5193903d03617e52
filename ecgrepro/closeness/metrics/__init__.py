"""Metrics of closeness, one file a family, pure functions of arrays."""
