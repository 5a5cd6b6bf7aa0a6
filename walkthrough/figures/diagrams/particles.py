"""Drawings of a token as a particle: the force on it, and a layer as a small step of time."""

import math

from matplotlib.axes import Axes
from matplotlib.patches import Circle

import walkthrough.figures.diagrams.grammar as pen
from walkthrough.figures.diagrams.grammar import CHOSEN, OV, QK, QUIET, STREAM


def tangent_force(*, ax: Axes | None = None) -> Axes:
    """Three tokens on a circle: the pulls of two on the third, and what of their sum lies along the circle."""
    ax = pen.canvas(6.4, 3.4, ax)
    (cx, cy), radius = (2.0, 1.62), 1.25
    at = lambda degrees, r=radius: (cx + r * math.cos(math.radians(degrees)), cy + r * math.sin(math.radians(degrees)))
    ax.add_patch(Circle((cx, cy), radius, fill=False, edgecolor=STREAM.line, linewidth=1.2, zorder=1))
    me, near, far = at(165), at(75), at(-20)
    pen.arrow(ax, me, near, look=QK, width=2.6, kind="pull")
    pen.arrow(ax, me, far, look=QK, width=1, kind="pull")
    mean = (me[0] + 0.95, me[1] + 0.35)
    tangent = (math.sin(math.radians(165)), -math.cos(math.radians(165)))
    along = (mean[0] - me[0]) * tangent[0] + (mean[1] - me[1]) * tangent[1]
    tip = (me[0] + 1.25 * along * tangent[0], me[1] + 1.25 * along * tangent[1])
    pen.arrow(ax, me, tip, look=OV, width=3, kind="force")
    for point, name, shift in ((me, "$x_i$", (-0.26, 0)), (near, "$x_j$", (0.1, 0.22)), (far, "$x_k$", (0.26, -0.04))):
        pen.dot(ax, point, look=CHOSEN if point is me else STREAM, size=9)
        pen.write(ax, (point[0] + shift[0], point[1] + shift[1]), name, size=11)
    lines = (
        (2.75, QK.line, "pulls of the other tokens: the thicker,\nthe more $x_i$ attends to them"),
        (1.75, OV.line, "the force: what of the pulls' sum lies\nalong the sphere"),
        (0.75, QUIET, "the part away from the sphere is taken\noff, as a normalisation does"),
    )
    for y, colour, text in lines:
        pen.write(ax, (3.75, y), text, colour=colour, across="left")
    return ax


def layers_as_time(n_layers: int = 4, *, ax: Axes | None = None) -> Axes:
    """A stack of layers, each of which attends and normalises, beside an axis of time: a layer is a step of time.

    Raises ValueError for fewer than one layer.
    """
    pen.positive(n_layers=n_layers)
    height = 0.62 * n_layers + 1.0
    ax = pen.canvas(6.2, height, ax)
    pen.band(ax, (0.55, 0.3), (0.5, height - 0.5))
    pen.write(ax, (0.8, 0.14), "tokens", size=8, colour=QUIET)
    for layer in range(n_layers):
        y = 0.75 + 0.62 * layer
        pen.box(ax, (2.35, y), (1.9, 0.4), "attend, normalise", look=QK, kind="layer", rounded=True)
        pen.arrow(ax, (1.05, y - 0.12), (1.4, y - 0.12))
        pen.arrow(ax, (1.4, y + 0.12), (1.05, y + 0.12), look=OV)
        pen.write(ax, (3.42, y), f"layer {layer}", size=8, colour=QUIET, across="left")
        ax.plot([4.3, 4.46], [y, y], color=CHOSEN.line, linewidth=1.4)
        pen.write(ax, (4.56, y), "$t = 0$" if layer == 0 else f"$t = {layer if layer > 1 else ''}\\,dt$", across="left")
    pen.arrow(ax, (4.38, 0.45), (4.38, height - 0.15), look=CHOSEN, width=1.8, kind="time")
    pen.write(ax, (5.15, height - 0.2), "time", colour=CHOSEN.line)
    return ax
