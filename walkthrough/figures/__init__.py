"""Figures: arrays, labels and an `ax` in, the `ax` out. Nothing here computes, and nothing here sees a model.

Importing it puts matplotlib's own defaults in place of a reader's `matplotlibrc`: what the text says of a figure is then
true of it (no usetex, no dark ground, no other size).
"""

import matplotlib

from walkthrough.figures import (
    basics,
    circuits,
    composition,
    copying,
    diagrams,
    editing,
    forces,
    forming,
    induction,
    neurons,
    particles,
    records,
    smaller,
    spaces,
    superposition,
    terms,
    training,
    vision,
)
from walkthrough.figures.captions import show

__all__ = [
    "basics",
    "circuits",
    "composition",
    "copying",
    "diagrams",
    "editing",
    "forces",
    "forming",
    "induction",
    "neurons",
    "particles",
    "records",
    "show",
    "smaller",
    "spaces",
    "superposition",
    "terms",
    "training",
    "vision",
]

matplotlib.rcdefaults()
