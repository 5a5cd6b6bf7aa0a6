"""A drawing of a subspace: what of a vector a head can see."""

from matplotlib.axes import Axes
from matplotlib.patches import Polygon

from walkthrough.figures.diagrams.grammar import CHOSEN, QK, QUIET, STREAM, Look, Point, arrow, canvas, write

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


def subspaces(*, ax: Axes | None = None) -> Axes:
    """A vector, and its shadow in the plane that a head reads."""
    ax = canvas(3.7, 3.7, ax)
    origin = (1.55, 1.15)
    write(ax, (1.75, 3.45), "what a head sees of one vector", weight="bold")
    plane(ax, origin, (-1, -1, 0), (1.25, -1, 0), (1.25, 1, 0), (-1, 1, 0), look=QK)
    tip, foot = (0.9, 0.3, 1.55), (0.9, 0.3, 0)
    arrow(ax, flat(origin, (0, 0, 0)), flat(origin, foot), look=CHOSEN, width=2, level=5)
    arrow(ax, flat(origin, (0, 0, 0)), flat(origin, tip), look=STREAM, width=2, level=5)
    ax.plot(*zip(flat(origin, tip), flat(origin, foot)), ":", color=QUIET, linewidth=1.4, zorder=5)
    x, y = flat(origin, tip)
    write(ax, (x - 0.1, y + 0.14), "$x$, in the stream", colour=STREAM.line)
    x, y = flat(origin, foot)
    write(ax, (x - 0.2, y - 0.2), "$xP$, seen", colour=CHOSEN.line)
    write(ax, (x + 0.1, y + 0.85), "not seen", size=8, colour=QUIET, across="left")
    write(ax, (1.75, 0.38), "the subspace that $W_{in}$ reads:\nd_head of d_model dimensions", size=8, colour=QK.line)
    return ax
