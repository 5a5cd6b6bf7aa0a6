"""Tokens to models: recipes, the trainer, and its checkpoints; `python -m walkthrough.training two-layer`."""

from walkthrough.training.checkpoints import checkpoint_file
from walkthrough.training.recipes import RECIPES, Recipe, batch_rows
from walkthrough.training.trainer import Loss, optimisers, settled, train, write_model

__all__ = [
    "RECIPES",
    "Loss",
    "Recipe",
    "batch_rows",
    "checkpoint_file",
    "optimisers",
    "settled",
    "train",
    "write_model",
]
