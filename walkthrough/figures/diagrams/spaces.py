"""Drawings of subspaces: what of a vector a head can see, and how two subspaces lie to each other."""

from math import cos, pi, sin

from matplotlib.axes import Axes
from matplotlib.patches import Polygon

from walkthrough.figures.diagrams.grammar import CHOSEN, INK, OV, QK, QUIET, STREAM, Look, Point, arrow, canvas, write

Place = tuple[float | int, float | int, float | int]  # across, into the page, up


def flat(origin: Point, place: Place) -> Point:
    """A place in space as a place on the page, seen from a little above and from the right."""
    across, deep, up = place
    return origin[0] + across + 0.5 * deep, origin[1] + up + 0.42 * deep


def plane(ax: Axes, origin: Point, *corners: Place, look: Look = STREAM, level: float | int = 2) -> None:
    """A piece of a plane between corners in space."""
    on_page = [flat(origin, corner) for corner in corners]
    lines = {"facecolor": look.fill, "edgecolor": look.line, "linewidth": 1.2, "linestyle": look.dash, "alpha": 0.85}
    ax.add_patch(Polygon(on_page, closed=True, zorder=level, gid="plane", **lines))


def subspaces(*, degrees: float = 55.0, ax: Axes | None = None) -> Axes:
    """Left, a vector and its shadow in the plane that a head reads; right, two planes with one direction in common.

    `degrees` is the angle between the two planes, the second principal angle. Raises ValueError if it is not between
    20 and 80, where the drawing can be read.
    """
    if not 20 <= degrees <= 80:
        raise ValueError(f"{degrees} degrees would be hard to see: take 20 to 80")
    ax = canvas(8, 3.7, ax)
    _shadow(ax, (1.55, 1.15))
    _two_planes(ax, (5.5, 1.25), degrees * pi / 180)
    return ax


def _shadow(ax: Axes, origin: Point) -> None:
    """A vector that stands out of a plane, and what of it lies in the plane."""
    write(ax, (1.75, 3.45), "what a head sees of one vector", weight="bold")
    plane(ax, origin, (-1, -1, 0), (1.25, -1, 0), (1.25, 1, 0), (-1, 1, 0), look=QK)
    tip, foot = (0.9, 0.3, 1.55), (0.9, 0.3, 0)
    arrow(ax, flat(origin, (0, 0, 0)), flat(origin, foot), look=CHOSEN, width=2, level=5)
    arrow(ax, flat(origin, (0, 0, 0)), flat(origin, tip), look=STREAM, width=2, level=5)
    ax.plot(*zip(flat(origin, tip), flat(origin, foot)), ":", color=QUIET, linewidth=1.4, zorder=5)
    x, y = flat(origin, tip)
    write(ax, (x - 0.1, y + 0.14), "$x$, in the stream", colour=STREAM.line)
    x, y = flat(origin, foot)
    write(ax, (x - 0.2, y - 0.2), "$Px$, seen", colour=CHOSEN.line)
    write(ax, (x + 0.1, y + 0.85), "not seen", size=8, colour=QUIET, across="left")
    write(ax, (1.75, 0.38), "the subspace that $W_{in}$ reads:\nd_head of d_model dimensions", size=8, colour=QK.line)


def _two_planes(ax: Axes, origin: Point, angle: float) -> None:
    """Two planes that meet in a line, and the angle between them."""
    write(ax, (5.75, 3.45), "how two subspaces lie to each other", weight="bold")
    up, back = 1.35 * sin(angle), 1.35 * cos(angle)
    plane(ax, origin, (-1, -0.9, 0), (1, -0.9, 0), (1, 0.9, 0), (-1, 0.9, 0), look=QK)
    plane(ax, origin, (-1, 0, 0), (1, 0, 0), (1, back, up), (-1, back, up), look=OV, level=3)
    ends = flat(origin, (-1.1, 0, 0)), flat(origin, (1.2, 0, 0))
    ax.plot(*zip(*ends), color=INK, linewidth=2, zorder=5)
    write(ax, (ends[0][0] - 0.05, ends[0][1]), "shared line:\ncosine 1", size=8, across="right")
    steps = [angle * step / 20 for step in range(21)]
    curve = [flat(origin, (1, 0.6 * cos(step), 0.6 * sin(step))) for step in steps]
    ax.plot(*zip(*curve), color=CHOSEN.line, linewidth=2, zorder=6)
    x, y = curve[10]
    words = "second angle $\\theta$:\ncosine $\\cos\\,\\theta$"
    write(ax, (x + 0.08, y), words, size=8, colour=CHOSEN.line, across="left")
    write(ax, (5.3, 0.5), "read by one head", size=8, colour=QK.line)
    x, y = flat(origin, (0, back, up))
    write(ax, (x, y + 0.15), "written by another", size=8, colour=OV.line)
