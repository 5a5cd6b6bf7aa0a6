"""A drawing of a head's force on a token: along the token, on the way to the sender, and sideways."""

import math

from matplotlib.axes import Axes
from matplotlib.patches import Circle

import walkthrough.figures.diagrams.grammar as pen
from walkthrough.figures.diagrams.grammar import CHOSEN, DIRECT, FROZEN, OV, QUIET, STREAM, Number

RADIUS, LENGTH = 1.25, 1.1  # inches: of the sphere, and of a force of length 1
OWN, SENDER = math.radians(78), math.radians(8)  # where the two tokens stand


def force_on_sphere(towards: Number, radial: Number, sideways: Number, *, ax: Axes | None = None) -> Axes:
    """Two tokens on their sphere and the force of one on the other, from both sides: in the plane of both, and from
    above.

    The three parts are numbers from -1 to 1: on the way to the sender, along the token itself, and at right angles to
    both. Raises ValueError for a part that is larger.
    """
    if max(abs(towards), abs(radial), abs(sideways)) > 1:
        raise ValueError(f"the parts are {towards}, {radial} and {sideways}: give numbers from -1 to 1")
    ax = pen.canvas(7.6, 4, ax)
    centre = (1.8, 1.7)
    ax.add_patch(Circle(centre, RADIUS, fill=False, edgecolor=STREAM.line, linewidth=1.2, zorder=1, gid="sphere"))
    own, sender = (
        (centre[0] + RADIUS * math.cos(angle), centre[1] + RADIUS * math.sin(angle)) for angle in (OWN, SENDER)
    )
    out, way = (math.cos(OWN), math.sin(OWN)), (math.sin(OWN), -math.cos(OWN))
    for tip in (own, sender):
        pen.arrow(ax, centre, tip, look=STREAM, width=1.2, kind="token")
    ends = [
        (own[0] + LENGTH * (a * out[0] + b * way[0]), own[1] + LENGTH * (a * out[1] + b * way[1]))
        for a, b in ((radial, towards), (0, towards), (radial, 0))
    ]
    for end, look, kind in zip(ends, (OV, CHOSEN, DIRECT), ("force", "towards", "radial")):
        pen.arrow(ax, own, end, look=look, width=2 if kind == "force" else 1.4, kind=kind)
    pen.write(ax, (1.72, 2.3), "token $i$", across="right", colour=STREAM.line)
    pen.write(ax, (sender[0] + 0.08, sender[1] - 0.06), "sender $j$", across="left", up="top", colour=STREAM.line)
    pen.write(ax, (1.8, 0.04), "in the plane of both tokens", size=8, colour=QUIET, up="bottom")
    above = (5.2, 1.7)
    pen.dot(ax, above)
    flat = ((towards, sideways), (towards, 0), (0, sideways))
    for (a, b), look, kind in zip(flat, (OV, CHOSEN, FROZEN), ("force", "towards", "sideways")):
        pen.arrow(ax, above, (above[0] + LENGTH * a, above[1] + LENGTH * b), look=look, width=1.6, kind=kind)
    pen.write(ax, (above[0] - 0.1, above[1] - 0.16), "token $i$", across="right", up="top", colour=STREAM.line)
    pen.write(ax, (5.2, 0.04), "from above token $i$: what turns it", size=8, colour=QUIET, up="bottom")
    parts = {"the force": OV, "on the way to $j$": CHOSEN, "along $i$: turns nothing": DIRECT, "sideways": FROZEN}
    for row, (name, look) in enumerate(parts.items()):
        pen.write(ax, (5.95, 3.8 - 0.22 * row), name, size=8, across="left", colour=look.line)
    return ax
