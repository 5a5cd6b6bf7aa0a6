"""The parts that all drawings are made of. One unit of the drawing is one inch of the figure."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes


def canvas(width: float, height: float, ax: Axes | None = None) -> Axes:
    """Empty axes of so many units, without ticks or frame; a new figure of that size in inches where none is given."""
    ax = ax or plt.figure(figsize=(width, height)).add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.axis("off")
    return ax


def positive(**counts: int) -> None:
    """Raise ValueError if one of these numbers is below 1."""
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} is {count}, and a drawing needs at least 1")
