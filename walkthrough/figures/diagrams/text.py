"""Drawings of text, of tokens on their way through a model, and of directions."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Circle, Rectangle

import walkthrough.figures.diagrams.grammar as pen
from walkthrough.figures.basics import visible
from walkthrough.figures.diagrams.grammar import CHOSEN, DIRECT, OV, PLAIN, QK, QUIET, STREAM, Look, Number, Point

LETTER = 0.602 / 72  # inches that a letter of one point takes in a monospaced font
Arc = tuple[int, int, str]
GROUND = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # of letters where lines may pass behind
LOOKS = {"QK": QK, "OV": OV, "direct": DIRECT}
CYCLE = (QK, OV, CHOSEN._replace(dash=(0, (6, 1.5, 1, 1.5))), pen.FROZEN._replace(dash=(0, (1, 1))))


def arcs(
    tokens: Sequence[str], arcs: Sequence[Arc], *, colours: Sequence[str] = (), predicted: str | None = None,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A line of tokens with an arrow over it for each (start, end, label), its tip at the end.

    `colours` are the arrows', one each: matplotlib's, or "QK", "OV" and "direct" for the course's. A `predicted` token
    stands dashed behind the last one, at position len(tokens). Raises ValueError for an arrow that leaves the tokens.
    """
    words = visible([*tokens, *([] if predicted is None else [predicted])])
    if not words:
        raise ValueError("there are no tokens to draw")
    for start, end, _ in arcs:
        if not (0 <= start < len(words) and 0 <= end < len(words)):
            raise ValueError(f"an arrow from {start} to {end} leaves the {len(words)} tokens")
    if colours and len(colours) != len(arcs):
        raise ValueError(f"{len(colours)} colours do not fit {len(arcs)} arrows")
    letters = [len(word.replace("\\$", "$")) for word in words]
    size = 10 if sum(letters) * 10 * LETTER + 0.25 * len(words) < 7.6 else 8.5
    widths = [count * size * LETTER + 0.16 for count in letters]
    total = sum(widths) + 0.09 * (len(words) - 1)
    width = max(5, total + 0.4, *(0.068 * len(label) + 0.2 for _, _, label in arcs))
    middles = [(width - total) / 2 + sum(widths[:i]) + 0.09 * i + one / 2 for i, one in enumerate(widths)]
    ends = _ends(arcs, middles, widths)
    labels = _labels(arcs, ends, width)
    heights = _heights(ends, labels)
    ax = pen.canvas(width, 0.85 + max(heights, default=0), ax)
    for i, (word, middle, one) in enumerate(zip(words, middles, widths)):
        kind = "token" if i < len(tokens) else "predicted"
        look = PLAIN if kind == "token" else PLAIN._replace(dash=(0, (3, 2)))
        pen.box(ax, (middle, 0.42), (one, 0.32), word, look=look, kind=kind, letters=size, mono=True)
        pen.write(ax, (middle, 0.14), f"{i}", size=8, colour=QUIET)
    for n, ((_, _, label), (a, b), high) in enumerate(zip(arcs, ends, heights)):
        look = LOOKS.get(colours[n], Look("white", colours[n])) if colours else CYCLE[n % len(CYCLE)]
        pen.arrow(ax, (a, 0.6), (a, 0.6 + high), (b, 0.6 + high), (b, 0.6), look=look, bend=0.25, kind="arc")
        pen.write(ax, (labels[n][0], 0.71 + high), label, colour=look.line, bbox=GROUND)
    return ax


def _ends(arcs: Sequence[Arc], middles: Sequence[float], widths: Sequence[float]) -> list[list[float]]:
    """Where each arrow leaves and lands: side by side where several meet, so that none cross on the way."""
    ends = [[0.0, 0.0] for _ in arcs]
    for token, (middle, width) in enumerate(zip(middles, widths)):
        here = []  # arrows from the left first, and of each side the far ones outside
        for n, arc in enumerate(arcs):
            here += [(arc[1 - side] >= token, -arc[1 - side], side, n) for side in (0, 1) if arc[side] == token]
        step = min(0.14, width / (len(here) + 1))
        for place, (_, _, side, n) in enumerate(sorted(here)):
            ends[n][side] = middle + step * (place - (len(here) - 1) / 2)
    return ends


def _labels(arcs: Sequence[Arc], ends: Sequence[Sequence[float]], width: Number) -> list[Point]:
    """Each label's middle and half its width: over its arrow's middle, or beside it where another arrow comes down."""
    labels = []
    for n, ((_, _, label), (a, b)) in enumerate(zip(arcs, ends)):
        half = 0.034 * len(label) + 0.04
        middle, shift = (a + b) / 2, max(0, half - abs(a - b) / 2)
        others = [end for m, pair in enumerate(ends) if m != n for end in pair]
        free = [x for x in (middle, middle - shift, middle + shift) if all(abs(x - end) > half for end in others)]
        labels.append((min(max([*free, middle][0], half + 0.05), width - half - 0.05), half))
    return labels


def _heights(ends: Sequence[Sequence[float]], labels: Sequence[Point]) -> list[float]:
    """How high each arrow rises: over all shorter ones that it, or its label, would meet."""
    spans = [(min(a, b, x - half), max(a, b, x + half)) for (a, b), (x, half) in zip(ends, labels)]
    heights = [0.0] * len(ends)
    for n in sorted(range(len(ends)), key=lambda n: abs(ends[n][0] - ends[n][1])):
        under = [heights[m] for m in range(len(ends)) if spans[m][0] < spans[n][1] and spans[n][0] < spans[m][1]]
        heights[n] = max(under, default=-0.1) + 0.42
    return heights


def tokens_to_logits(
    pieces: Sequence[str], *, d_model: int, d_vocab: int, ids: Sequence[int] = (),
    likely: Mapping[str, float] | None = None, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Text cut into tokens, a line each: its id, its numbers, the layers, its logits; the last line's chances.

    `ids` are the tokens' ids and `likely` the most probable next tokens with their probabilities; without them both
    stay unnamed. The cells' shades are made up. Raises ValueError for no text, sizes below 1, or ids that do not fit.
    """
    pen.positive(d_model=d_model, d_vocab=d_vocab, pieces=len(pieces))
    if len(ids) and len(ids) != len(pieces):
        raise ValueError(f"{len(ids)} ids do not fit {len(pieces)} tokens")
    if not all(0 <= n < d_vocab for n in ids):
        raise ValueError(f"one of the ids is not among the {d_vocab} of the vocabulary")
    words, names = visible(pieces), visible(list(likely or ["?", "?", "?"]))
    chances = list(likely.values()) if likely else [0.6, 0.25, 0.1]
    token, strip, layers, logits = 0.25 + max(map(len, words)) * 9 * LETTER, 1.3, 1.15, 1.5  # widths
    x = [0.15 + token / 2, 0.47 + token, 0.85 + token + strip / 2]
    x += [x[2] + strip / 2 + 0.35 + layers / 2, x[2] + strip / 2 + 0.7 + layers + logits / 2]
    edge, room = x[4] + logits / 2 + 0.75, 0.2 + max(map(len, names)) * 9 * LETTER
    right, tall = edge + max(1.6, room + 1.55), max(0.46 * len(words), 0.27 * len(names) + 0.15)
    ax = pen.canvas(right + 0.15, tall + 0.75, ax)
    heads = ("token", "id", f"looked up by id:\n{d_model} numbers", "layers of\nattention heads")
    heads += (f"for each next token:\n{d_vocab} logits", "probabilities of\nthe next token")
    for place, text in zip((*x, (edge + right) / 2), heads):
        pen.write(ax, (place, tall + 0.46), text, colour=QUIET)
    pen.box(ax, (x[3], 0.15 + tall / 2), (layers, tall), look=pen.FAINT, kind="layers")
    last = 0.15 + tall / len(words) / 2
    for row, word in enumerate(words):
        y = last + (len(words) - 1 - row) * tall / len(words)
        pen.box(ax, (x[0], y), (token, 0.32), word, kind="token", mono=True)
        pen.write(ax, (x[1], y), f"{ids[row]}" if len(ids) else "…")
        _numbers(ax, (x[2], y), strip, 9, row, STREAM)
        pen.band(ax, (x[2] + strip / 2, y - 0.09), (0.68 + layers, 0.18), level=4.2)
        pen.arrow(ax, (x[2] + strip / 2, y), (x[4] - logits / 2 - 0.02, y), width=1, level=4.3)
        _numbers(ax, (x[4], y), logits, 15, row + 7, DIRECT)
        if y > last + 0.1:
            across = x[3] + layers * (0.84 * (row + 1) / len(words) - 0.42)
            pen.dot(ax, (across, y), look=OV, size=3)
            pen.arrow(ax, (across, y), (across, last + 0.02), look=OV, width=1.1, level=5, kind="moves")
    pen.arrow(ax, (x[4] + logits / 2, last), (edge, last), look=DIRECT)
    pen.write(ax, (x[4] + logits / 2 + 0.35, last + 0.14), "softmax", size=8)
    pen.box(ax, ((edge + right) / 2, 0.15 + tall / 2), (right - edge, tall), kind="chances")
    for n, (name, chance) in enumerate(zip(names, chances)):
        y, long = 0.15 + tall / 2 + 0.27 * ((len(names) - 1) / 2 - n), 0.9 * chance / max(chances)
        pen.write(ax, (edge + room - 0.06, y - 0.04), name, mono=True, across="right", up="baseline")
        bar = Rectangle((edge + room, y - 0.08), long, 0.16, facecolor=DIRECT.line, alpha=0.75, zorder=5, gid="chance")
        ax.add_patch(bar)
        pen.write(ax, (edge + room + long + 0.06, y), f"{chance:.2f}" if likely else "", size=8, across="left")
    return ax


def _numbers(ax: Axes, at: Point, width: Number, count: int, seed: int, look: Look) -> None:
    """A row of numbers as cells of different darkness, with a gap for those that are not drawn."""
    cell = width / count
    for n in range(count):
        left, dark = at[0] - width / 2 + n * cell, 0.5 + 0.5 * math.sin(3.7 * n + 2.3 * seed + n * n)
        if n == count - 3:
            pen.write(ax, (left + cell / 2, at[1]), "…", size=8)
        else:
            inside = {"facecolor": look.line, "alpha": 0.08 + 0.8 * dark**2, "zorder": 4}
            lines = {"fill": False, "edgecolor": look.line, "linewidth": 0.7, "zorder": 4.1}
            for how in (inside, lines):
                ax.add_patch(Rectangle((left, at[1] - 0.11), cell, 0.22, **how))


def rotation(*, degrees: Number = 35, ax: Axes | None = None) -> Axes:
    """The same arrows in two systems of coordinates, the second turned: other numbers, the same lengths and angles."""
    ax = pen.canvas(8, 4.2, ax)
    for x, turn, title in ((2, 0, "one basis"), (6, degrees, f"a basis turned by {degrees:g} degrees")):
        pen.write(ax, (x, 4.0), title, weight="bold")
        _plane(ax, (x, 2.35), math.radians(turn))
    return ax


def _plane(ax: Axes, origin: Point, angle: Number) -> None:
    """Two arrows from an origin, over the grid of a basis that is turned by an angle, with their coordinates in it."""
    cos, sin, unit = math.cos(angle), math.sin(angle), 0.5

    def _at(a: Number, b: Number) -> Point:
        return origin[0] + unit * (a * cos - b * sin), origin[1] + unit * (a * sin + b * cos)

    window = Circle(origin, 2.75 * unit, transform=ax.transData)
    for n in range(-2, 3):
        how = {"look": PLAIN, "width": 1.2} if n == 0 else {"look": pen.GRID, "width": 0.7, "tip": False}
        for start, end in ((_at(-2.7, n), _at(2.7, n)), (_at(n, -2.7), _at(n, 2.7))):
            pen.arrow(ax, start, end, level=1, **how).set_clip_path(window)
    pairs = []
    for name, x, y, look, beside in (("a", 2.0, 1.0, STREAM, (0.16, 0.02)), ("b", -0.5, 1.5, OV, (-0.12, 0.12))):
        tip = (origin[0] + unit * x, origin[1] + unit * y)
        across, up = x * cos + y * sin + 0.0, y * cos - x * sin + 0.0
        for foot in (_at(across, 0), _at(0, up)):
            pen.arrow(ax, tip, foot, look=look._replace(dash=(0, (1, 1.5))), tip=False, width=1, level=2)
        pen.arrow(ax, origin, tip, look=look, width=2.6, kind="direction")
        at = (tip[0] + beside[0], tip[1] + beside[1])
        pen.write(ax, at, name, size=12, colour=look.line, weight="bold", bbox=GROUND)
        numbers = f"{name} = ({across:.2f}, {up:.2f}), length {math.hypot(across, up):.2f}"
        pen.write(ax, (origin[0], 0.7 - 0.23 * len(pairs)), numbers, colour=look.line)
        pairs.append((across, up))
    dot = sum(one * other for one, other in zip(*pairs))
    pen.write(ax, (origin[0], 0.2), f"dot product of a and b: {dot:.2f}")
