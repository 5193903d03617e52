"""Worked examples of the metrics."""
