"""The course's models, loaded once in the nursery: each fork has them in its memory without building them again.

A fork's memory is its own: the system copies what it writes to, and neither the nursery nor another fork sees that.
"""

import functools
from pathlib import Path

from walkthrough import models

READY: dict[str, models.TransformerBridge] = {}  # as they were loaded; nothing runs them here


def stock(names: tuple[str, ...] = (*models.NAMES, *models.SMALL, "homework")) -> None:
    """Load the models that homework loads."""
    READY.update({name: models.load(name) for name in names})


def hand_out() -> None:
    """From now on `models.load` gives what is ready, each once: who loads a model twice has two, as at home."""
    build = models.load

    @functools.wraps(build)
    def load(name: str | Path, folder: Path = models.WEIGHTS) -> models.TransformerBridge:
        """The model that is ready, or one that is built."""
        there = READY.pop(name, None) if isinstance(name, str) and folder == models.WEIGHTS else None
        if there is None:
            return build(name, folder)
        models.network(there.cfg)  # the random numbers go on as if it had been built now
        return there

    models.load = load
