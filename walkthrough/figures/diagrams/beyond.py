"""Drawings of what stands beside attention: LayerNorm, as trained and folded, and the two sides of a neuron."""

from matplotlib.axes import Axes

import walkthrough.figures.diagrams.grammar as pen
from walkthrough.figures.diagrams.grammar import CHOSEN, DIRECT, FROZEN, OV, PLAIN, QUIET, STREAM


def layernorm(*, ax: Axes | None = None) -> Axes:
    """LayerNorm before a matrix that reads: above as it is trained, below what is left when it is folded."""
    ax = pen.canvas(9, 3.6, ax)
    above, below = 2.75, 0.85
    pen.write(ax, (0.1, above + 0.62), "as trained", weight="bold", across="left")
    pen.write(ax, (0.1, below + 0.62), "folded", weight="bold", across="left")
    for y, start in ((above, 1.5), (below, 3.1)):
        pen.band(ax, (0.1, y - 0.2), (1.0, 0.4))
        pen.write(ax, (0.6, y), "stream", colour=STREAM.line)
        pen.arrow(ax, (1.1, y), (start, y))
    for x, text, look in (
        (2.0, "subtract\nthe mean", OV),
        (3.6, "divide by\nthe scale", FROZEN),
        (5.0, "times\nthe gain", OV),
        (6.3, "plus\nthe bias", CHOSEN),
    ):
        pen.box(ax, (x, above), (0.95, 0.5), text, look=look, rounded=True, letters=8)
    pen.box(ax, (7.8, above), (0.95, 0.5), "$W$ and $b$", look=STREAM)
    for left, right in ((2.48, 3.12), (4.08, 4.52), (5.48, 5.82), (6.78, 7.32), (8.28, 8.75)):
        pen.arrow(ax, (left, above), (right, above))
    pen.box(ax, (3.6, below), (0.95, 0.5), "divide by\nthe scale", look=FROZEN, rounded=True, letters=8)
    pen.box(ax, (7.3, below), (1.0, 0.44), "$W$ folded", look=OV)
    pen.box(ax, (7.3, below - 0.56), (1.0, 0.44), "$b$ folded", look=CHOSEN)
    pen.sign(ax, (8.25, below), "+")
    pen.arrow(ax, (4.08, below), (6.8, below))
    pen.arrow(ax, (7.8, below), (8.12, below))
    pen.arrow(ax, (8.38, below), (8.8, below))
    pen.arrow(ax, (7.8, below - 0.56), (8.25, below - 0.56), (8.25, below - 0.13), look=CHOSEN)
    for x in (2.0, 5.0):
        pen.arrow(ax, (x, above - 0.27), (x, 1.72), (7.3, 1.72), (7.3, below + 0.23), look=OV, width=1)
    pen.arrow(ax, (6.3, above - 0.27), (6.3, below - 0.56), (6.8, below - 0.56), look=CHOSEN, width=1)
    pen.write(ax, (3.6, below - 0.42), "stays: a number for each position", size=8, colour=FROZEN.line)
    pen.write(ax, (3.4, 1.86), "linear: one matrix with $W$", size=8, colour=OV.line)
    return ax


def neuron(*, d_vocab: int, n_neurons: int, ax: Axes | None = None) -> Axes:
    """One neuron: sums of tables on its left, its non-linearity, and one table on its right.

    Raises ValueError for sizes below 1.
    """
    pen.positive(d_vocab=d_vocab, n_neurons=n_neurons)
    ax = pen.canvas(9, 3.5, ax)
    middle = 1.75
    for y, text, table in (
        (2.75, "current token", "$W_E W_{in}$"),
        (1.75, "tokens that\nheads look at", "$A$, then $W_E W_{OV} W_{in}$"),
        (0.75, "bias", "$b_{in}$"),
    ):
        pen.box(ax, (0.8, y), (1.2, 0.5), text, letters=8)
        pen.write(ax, (2.55, y + 0.17), table)
    pen.arrow(ax, (1.4, 2.75), (3.9, 2.75), (3.9, middle + 0.13), look=DIRECT)
    pen.arrow(ax, (1.4, middle), (3.77, middle), look=OV)
    pen.arrow(ax, (1.4, 0.75), (3.9, 0.75), (3.9, middle - 0.13), look=PLAIN)
    pen.sign(ax, (3.9, middle), "+")
    pen.arrow(ax, (4.02, middle), (4.95, middle))
    pen.box(ax, (5.45, middle), (1.0, 0.55), "ReLU", look=CHOSEN, rounded=True)
    pen.arrow(ax, (5.95, middle), (7.75, middle))
    pen.write(ax, (6.85, middle + 0.17), "$W_{out} W_U$")
    pen.box(ax, (8.3, middle), (1.1, 0.5), "logits")
    pen.write(ax, (2.55, 0.25), "linear: multiplies out", colour=QUIET)
    pen.write(ax, (5.45, 0.25), "not linear", colour=CHOSEN.line)
    pen.write(ax, (7.4, 0.25), "linear again", colour=QUIET)
    pen.write(ax, (5.45, middle - 0.45), f"one of {n_neurons} neurons", size=8, colour=QUIET)
    pen.write(ax, (8.3, middle - 0.4), f"{d_vocab} tokens", size=8, colour=QUIET)
    return ax


def free_turns(*, ax: Axes | None = None) -> Axes:
    """Which changes of basis leave a model as it is: any turn of the stream, but no turn of the neurons."""
    ax = pen.canvas(9, 2.4, ax)
    for x, name, said in (
        (0.3, "stream", "turned back before it is read: nothing changes"),
        (5.0, "neurons", "the ReLU stands between the turn and its undoing"),
    ):
        pen.write(ax, (x + 1.85, 2.15), name, weight="bold")
        pen.box(ax, (x + 0.4, 1.3), (0.75, 0.5), "write", look=OV)
        pen.box(ax, (x + 1.27, 1.3), (0.42, 0.42), "$R$", look=PLAIN)
        pen.box(ax, (x + 2.33, 1.3), (0.42, 0.42), "$R^{T}$", look=PLAIN)
        pen.box(ax, (x + 3.3, 1.3), (0.75, 0.5), "read", look=STREAM)
        for left, right in ((0.78, 1.05), (1.48, 2.12), (2.55, 2.92)):
            pen.arrow(ax, (x + left, 1.3), (x + right, 1.3), tip=name == "stream" or left != 1.48)
        pen.write(ax, (x + 1.85, 0.6), said, size=8, colour=QUIET)
    pen.box(ax, (6.8, 1.3), (0.5, 0.42), "ReLU", look=CHOSEN, rounded=True, letters=8)
    return ax
