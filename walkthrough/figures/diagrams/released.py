"""Drawings of a model of today beside the paper's: what stands in a layer, planes that turn, heads that share their keys."""

import math

from matplotlib.axes import Axes
from matplotlib.patches import Circle

import walkthrough.figures.diagrams.grammar as pen
from walkthrough.figures.diagrams.grammar import CHOSEN, FROZEN, OV, PLAIN, QK, QUIET, STREAM, Number


def todays_layer(*, ax: Axes | None = None) -> Axes:
    """A layer of the paper's model beside one of today: norms, rotation, shared keys, and an MLP. The stream goes up."""
    ax = pen.canvas(8.8, 4.6, ax)
    for x, title, high in ((1.0, "a layer of the paper's model", 2.55), (5.0, "a layer of SmolLM2", 3.95)):
        pen.write(ax, (x + 1.4, 4.4), title, weight="bold")
        pen.band(ax, (x - 0.2, 0.15), (0.4, high))
        pen.arrow(ax, (x, 0.25), (x, high + 0.1))
        pen.write(ax, (x - 0.3, 0.4), "stream", colour=STREAM.line, across="right")
        _attention(ax, x, today=x > 4)
    _norm(ax, 5.0, 2.65)
    pen.box(ax, (7.7, 2.65), (1.6, 0.4), "gate × input", look=CHOSEN, rounded=True)
    pen.arrow(ax, (6.5, 2.65), (6.9, 2.65))
    pen.arrow(ax, (7.7, 2.85), (7.7, 3.5), (5.14, 3.5), look=CHOSEN)
    pen.sign(ax, (5.0, 3.5), "+")
    pen.write(ax, (6.4, 3.64), "MLP", colour=CHOSEN.line)
    return ax


def _attention(ax: Axes, x: Number, *, today: bool) -> None:
    """The heads of a layer beside the stream at x: what they read, and what they add."""
    heads = x + (2.7 if today else 1.9)
    if today:
        _norm(ax, x, 0.7)
    pen.arrow(ax, (x + (1.5 if today else 0.2), 0.7), (heads - 0.8, 0.7))
    pen.box(ax, (heads, 0.7), (1.6, 0.4), "queries, keys", look=QK, rounded=True)
    pen.box(ax, (heads, 1.25), (1.6, 0.4), "pattern × values", look=OV, rounded=True)
    pen.arrow(ax, (heads, 0.9), (heads, 1.05), look=QK)
    pen.arrow(ax, (heads, 1.45), (heads, 1.9), (x + 0.14, 1.9), look=OV)
    pen.sign(ax, (x, 1.9), "+")
    pen.write(ax, (x + 1.3, 2.04), "heads", colour=OV.line)
    said = "turned by position" if today else "positions are\nadded here"
    pen.write(ax, (heads, 0.36 if today else 0.28), said, size=8, colour=QK.line)


def _norm(ax: Axes, x: Number, y: Number) -> None:
    """A norm that reads the stream at x."""
    pen.arrow(ax, (x + 0.2, y), (x + 0.5, y))
    pen.box(ax, (x + 1, y), (1.0, 0.4), "RMSNorm", look=FROZEN, rounded=True)


def turning_planes(
    *, base: Number = 100_000, d_head: int = 64, planes: tuple[int, ...] = (0, 4, 14, 31), ax: Axes | None = None
) -> Axes:
    """Clocks, one for each plane: the hand of a key at positions 0 to 3, whose plane turns fast, less fast, hardly.

    Raises ValueError for a plane that a head of this width has not.
    """
    half = d_head // 2
    if bad := [plane for plane in planes if not 0 <= plane < half]:
        raise ValueError(f"there is no plane {bad[0]}: a head of width {d_head} has planes 0 to {half - 1}")
    ax = pen.canvas(2 * len(planes) + 0.4, 2.9, ax)
    for n, plane in enumerate(planes):
        at, speed = (1.2 + 2 * n, 1.5), base ** (-plane / half)
        ax.add_patch(Circle(at, 0.75, facecolor=PLAIN.fill, edgecolor=STREAM.line, linewidth=1.2, gid="clock"))
        for position in range(4):
            angle = math.pi / 2 - position * speed
            tip = at[0] + 0.72 * math.cos(angle), at[1] + 0.72 * math.sin(angle)
            hand = pen.arrow(ax, at, tip, look=QK._replace(dash="-"), width=1.6, kind="hand")
            hand.set_alpha(1 - 0.22 * position)
        pen.write(ax, (at[0], 2.65), f"plane {plane}", weight="bold")
        turn = 2 * math.pi / speed
        pen.write(ax, (at[0], 0.45), f"once around in\n{turn:,.0f} tokens", size=8, colour=QUIET)
    return ax


def shared_keys(n_heads: int = 9, n_groups: int = 3, *, ax: Axes | None = None) -> Axes:
    """Heads with queries of their own, above, and the key and value matrices that groups of them share, below.

    Raises ValueError if the heads cannot be shared out among the groups.
    """
    pen.positive(n_heads=n_heads, n_groups=n_groups)
    if n_heads % n_groups:
        raise ValueError(f"{n_heads} heads cannot be shared out among {n_groups} groups")
    size, pitch = n_heads // n_groups, 0.8
    ax = pen.canvas(pitch * n_heads + 1.6, 2.4, ax)
    at = lambda head: 1.5 + pitch * head
    for head in range(n_heads):
        pen.box(ax, (at(head), 1.85), (0.62, 0.42), f"$W_Q$ {head}", look=QK, kind="head", rounded=True, letters=8)
        middle = at(size * (head // size) + (size - 1) / 2)
        pen.arrow(
            ax, (middle + 0.15 * (head % size - (size - 1) / 2), 0.82), (at(head), 1.62), look=STREAM, kind="share"
        )
    for group in range(n_groups):
        middle = at(size * group + (size - 1) / 2)
        pen.box(ax, (middle, 0.6), (1.5, 0.42), f"$W_K$, $W_V$ {group}", look=OV, kind="group", letters=9)
    pen.write(ax, (0.1, 1.85), "queries", colour=QK.line, across="left")
    pen.write(ax, (0.1, 0.6), "keys,\nvalues", colour=OV.line, across="left")
    return ax
