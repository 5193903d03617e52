"""Time-VQVAE: a tokenizer and a prior over its codes."""
