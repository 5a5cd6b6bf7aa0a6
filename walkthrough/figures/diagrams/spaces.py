"""Drawings of parts of the stream: the subspace that a head sees, and a stream whose axes are known one by one."""

from matplotlib.axes import Axes
from matplotlib.patches import Polygon

from walkthrough.figures.diagrams.grammar import (
    CHOSEN,
    FAINT,
    OV,
    QK,
    QUIET,
    STREAM,
    Look,
    Point,
    arrow,
    box,
    canvas,
    positive,
    write,
)

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


def bench(*, d_vocab: int, n_ctx: int, ax: Axes | None = None) -> Axes:
    """The axes of a bench in four blocks, who writes and reads each, and a head that copies from a place it counts to.

    Raises ValueError for sizes below 1.
    """
    positive(d_vocab=d_vocab, n_ctx=n_ctx)
    ax = canvas(8, 4.1, ax)
    write(ax, (4, 3.9), "the axes of the residual stream, at one position", weight="bold")
    names = ("current token", "free", "logits", "position")
    looks = (STREAM, FAINT, STREAM, STREAM._replace(dash=(0, (1, 1.5))))
    middles = [1.15 + 1.9 * number for number in range(4)]
    for x, name, size, look in zip(middles, names, (d_vocab, d_vocab, d_vocab, n_ctx), looks):
        box(ax, (x, 2.2), (1.8, 0.6), look=look, kind="block")
        write(ax, (x, 2.3), name)
        write(ax, (x, 2.06), f"{size} axes", size=8, colour=QUIET)
    token, _, logits, position = middles
    for x, name, comes in ((token, "$W_E$", True), (logits, "$W_U$", False), (position, "$p$", True)):
        ends = ((x, 3.2), (x, 2.52)) if comes else ((x, 2.52), (x, 3.2))
        arrow(ax, *ends, look=STREAM, width=1.6)
        write(ax, (x, 3.38), name, size=11)
    write(ax, (position, 3.62), "added for queries and keys only", size=8, colour=QUIET)
    box(ax, (position, 0.75), (1.7, 0.6), "where to look:\n$W_Q$, $W_K$", look=QK, kind="circuit", rounded=True)
    box(
        ax,
        ((token + logits) / 2, 0.75),
        (1.7, 0.6),
        "what to move:\n$W_V$, $W_O$",
        look=OV,
        kind="circuit",
        rounded=True,
    )
    arrow(ax, (position, 1.88), (position, 1.08), look=QK, width=1.6)
    arrow(ax, (token, 1.88), (token, 0.75), ((token + logits) / 2 - 0.88, 0.75), look=OV, width=1.6)
    arrow(ax, ((token + logits) / 2 + 0.88, 0.75), (logits, 0.75), (logits, 1.88), look=OV, width=1.6)
    write(ax, (4, 0.2), "the head that we write: it looks by position alone, and copies the token it finds")
    return ax
