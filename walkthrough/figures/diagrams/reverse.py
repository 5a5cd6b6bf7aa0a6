"""Drawings of changed models: one arrow of a head edited, a direction cut that no text uses, heads swapped between runs."""

import math

from matplotlib.axes import Axes

import walkthrough.figures.diagrams.grammar as pen
from walkthrough.figures.diagrams.grammar import CHOSEN, FAINT, OV, QUIET, STREAM, Number, Point

RUNS = (  # a title, what it asks, and which heads know the source: all, all but the chosen one, the chosen one alone
    ("with the source", "the whole rise", lambda chosen: True),
    ("necessary?", "what is lost", lambda chosen: not chosen),
    ("sufficient?", "what it gives alone", lambda chosen: chosen),
)


def _cloud(ax: Axes, at: Point, long: Number, wide: Number, degrees: Number = 0, n: int = 60) -> None:
    """Dots in an ellipse: what a layer reads in texts. They wind outwards, so that they fill it evenly."""
    turn = math.radians(degrees)
    cos, sin = math.cos(turn), math.sin(turn)
    spiral = [((k + 0.5) / n) ** 0.5 for k in range(n)]
    points = [(long * r * math.cos(2.4 * k), wide * r * math.sin(2.4 * k)) for k, r in enumerate(spiral)]
    xs, ys = zip(*((at[0] + x * cos - y * sin, at[1] + x * sin + y * cos) for x, y in points))
    ax.plot(xs, ys, ".", color=STREAM.line, markersize=3, alpha=0.5, zorder=1, gid="cloud")


def smallest_edit(*, ax: Axes | None = None) -> Axes:
    """Left, the stream of one token among what texts give a head to read; right, what the head writes of it, before and after.

    The edit reads along a direction in which texts have little, and writes along the logit that is to change.
    """
    ax = pen.canvas(7.8, 3.5, ax)
    left, right = (1.75, 1.5), (5.35, 0.95)
    _cloud(ax, left, 1.45, 0.42, 12)
    pen.arrow(ax, left, (left[0] + 0.62, left[1] + 0.98), look=STREAM, width=2.4, kind="source")
    probe = CHOSEN._replace(dash=(0, (4, 2)))
    pen.arrow(ax, left, (left[0] - 0.22, left[1] + 1.12), look=probe, width=2, kind="probe")
    pen.write(ax, (left[0] + 0.72, left[1] + 1.1), "$x$: the source's stream", colour=STREAM.line, across="left")
    pen.write(ax, (left[0] - 0.25, left[1] + 1.24), "what the edit reads", colour=CHOSEN.line, across="right")
    pen.write(ax, (1.75, 0.2), "what the head reads: dots are other streams", size=8, colour=QUIET)
    before, out = (1.35, 1.5), (0.34, 0.94)  # what is written of x, and the direction of the out's logit
    along = before[0] * out[0] + before[1] * out[1]
    after = before[0] - along * out[0], before[1] - along * out[1]
    at = lambda x, y: (right[0] + x, right[1] + y)
    ax.plot(*zip(right, at(1.9 * out[0], 1.9 * out[1])), color=QUIET, linewidth=1, linestyle=":", zorder=1)
    pen.arrow(ax, right, at(*before), look=OV, width=2.4, kind="before")
    pen.arrow(ax, right, at(*after), look=OV._replace(dash=(0, (1.5, 1.5))), width=2.4, kind="after")
    pen.arrow(ax, at(*before), at(*after), look=CHOSEN, width=2, kind="edit")
    pen.write(ax, at(1.9 * out[0], 1.9 * out[1] + 0.2), "$u$: the out's logit", colour=QUIET)
    pen.write(ax, at(before[0] + 0.08, before[1] + 0.1), "before", colour=OV.line, across="left")
    pen.write(ax, at(after[0] + 0.1, after[1] - 0.12), "after", colour=OV.line, across="left")
    middle = at((before[0] + after[0]) / 2 + 0.12, (before[1] + after[1]) / 2)
    pen.write(ax, middle, "the edit", colour=CHOSEN.line, across="left")
    pen.write(ax, (5.9, 0.2), "what the head writes of $x$", size=8, colour=QUIET)
    pen.arrow(ax, (3.55, 1.5), (4.75, 1.5), look=OV, width=1.6)
    pen.write(ax, (4.12, 1.74), "$W_V W_O$", colour=OV.line, size=11)
    return ax


def used_directions(*, ax: Axes | None = None) -> Axes:
    """A map of rank two is cut to rank one in two ways: by how strong it is, and by how strong on what is read."""
    ax = pen.canvas(7.8, 3.3, ax)
    titles = ("plain SVD", "weighed by what is read")
    said = (
        "kept: the map's strongest direction,\nalong which texts have little",
        "kept: a weaker direction,\nalong which texts have much",
    )
    for n, (title, text) in enumerate(zip(titles, said)):
        at = (2 + 3.8 * n, 1.72)
        _cloud(ax, at, 1.5, 0.2)
        pen.write(ax, (at[0], 3.1), title, weight="bold")
        pen.write(ax, (at[0], 0.36), text, colour=CHOSEN.line)
        for tip, strong in (((0, 1.05), True), ((0.75, 0), False)):
            kept = strong == (n == 0)
            look = CHOSEN if kept else FAINT._replace(dash=(0, (3, 2)))
            end = (at[0] + tip[0], at[1] + tip[1])
            pen.arrow(ax, at, end, look=look, width=3 if kept else 2, kind="kept" if kept else "cut")
    return ax


def swapped_heads(n_heads: int = 8, *, ax: Axes | None = None) -> Axes:
    """Three runs of a layer's heads: green ones put out what they do with the source, white ones what they do without it.

    The explanation is one head, with a thick rim. Raises ValueError for fewer than two heads.
    """
    if n_heads < 2:
        raise ValueError(f"n_heads is {n_heads}: a head and the others need at least 2")
    across = -(-n_heads // 2)
    wide = 0.52 * across + 0.5
    ax = pen.canvas(3 * wide + 0.3, 2.3, ax)
    for n, (title, asks, knows) in enumerate(RUNS):
        middle = 0.15 + wide * (n + 0.5)
        pen.write(ax, (middle, 2.1), title, weight="bold")
        pen.write(ax, (middle, 0.2), asks, colour=QUIET)
        for head in range(n_heads):
            chosen = head == 1
            place = (middle + 0.52 * (head % across - (across - 1) / 2), 1.5 - 0.6 * (head // across))
            look = OV if knows(chosen) else pen.PLAIN
            width = 3.2 if chosen else 1.2
            pen.box(ax, place, (0.4, 0.42), f"{head}", look=look, kind="head", rounded=True, width=width)
    return ax
