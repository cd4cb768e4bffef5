"""Rounds over a network that is cut: activations and gradients between sites and a body host."""
