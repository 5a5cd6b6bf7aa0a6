"""Weights to matrices: what can be said of a model without running it."""
