"""Intervals, differences and corrections."""
