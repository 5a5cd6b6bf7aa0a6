"""Figures: arrays, labels and an `ax` in, the `ax` out. Nothing here computes, and nothing here sees a model."""

from walkthrough.figures import basics, circuits, composition, diagrams, induction, spaces, terms
from walkthrough.figures.captions import show

__all__ = ["basics", "circuits", "composition", "diagrams", "induction", "show", "spaces", "terms"]
