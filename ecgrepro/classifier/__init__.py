"""The rhythm classifier."""
