"""Drawings of what the formulas say, from a model's real shape; `figures.show(..., drawing=True)` shows them."""
