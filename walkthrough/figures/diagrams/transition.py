"""A drawing of what one expects to see while an induction head forms."""

import math

from matplotlib.axes import Axes

import walkthrough.figures.diagrams.grammar as pen
from walkthrough.figures.diagrams.grammar import CHOSEN, PLAIN, QUIET


def transition(*, ax: Axes | None = None) -> Axes:
    """A gain that stays at zero, rises within a short time, and stays again: before, during and after the transition."""
    ax = pen.canvas(7.4, 2.6, ax)
    left, low, right, high = 1.1, 0.55, 6.9, 2.35
    pen.arrow(ax, (left, low), (right, low), look=PLAIN, width=1)
    pen.arrow(ax, (left, low), (left, high), look=PLAIN, width=1)
    pen.write(ax, ((left + right) / 2, 0.22), "tokens learnt from")
    pen.write(ax, (0.5, 1.45), "what the\nfirst copy\nis worth")
    across = [left + 0.1 + 5.4 * i / 120 for i in range(121)]
    ax.plot(across, [0.7 + 1.25 / (1 + math.exp((4.1 - x) * 7)) for x in across], color=CHOSEN.line, linewidth=2)
    for edge in (3.55, 4.65):
        ax.plot([edge, edge], [low, 2.2], color=QUIET, linewidth=0.8, linestyle=(0, (2, 2)))
    for middle, text in ((2.3, "nothing to see"), (4.1, "transition"), (5.75, "the head is there")):
        pen.write(ax, (middle, 2.3), text, colour=QUIET)
    return ax
