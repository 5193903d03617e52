"""Writing files whole, provenance, results: what every other folder may use."""
