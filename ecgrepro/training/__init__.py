"""The training loop that every network shares."""
