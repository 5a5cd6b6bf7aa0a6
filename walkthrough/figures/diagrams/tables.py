"""Drawings of big matrices and of what they are made of."""

from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

import walkthrough.figures.diagrams.grammar as pen
from walkthrough.figures.diagrams.grammar import DIRECT, FAINT, OV, PLAIN, QK, QUIET, STREAM, Look, Number, Point

WRONG = Look("#f9d6d2", "#b3261e", (0, (3, 1.5)))  # what a head should not say


def low_rank(
    *, rows: int, columns: int, rank: int, names: tuple[str, str, str] = ("", "", ""), ax: Axes | None = None
) -> Axes:
    """A big table as a tall matrix times a wide one, to scale; `names` stand on the table and on its two factors.

    Only what would be too thin to see is drawn thicker. Raises ValueError for sizes below 1, or a rank above the
    smaller side.
    """
    pen.positive(rows=rows, columns=columns, rank=rank)
    if rank > min(rows, columns):
        raise ValueError(f"a table of {rows} rows and {columns} columns has no rank of {rank}")
    high = 1.9 * rows / max(rows, columns)
    ax = pen.canvas(8, 1.1 + high, ax)
    _table(ax, 0.6 + high / 2, 1.9, (rows, columns, rank), names)
    return ax


def _table(ax: Axes, y: Number, size: Number, sizes: tuple[int, int, int], names: tuple[str, str, str]) -> None:
    """A table = a tall matrix times a wide one about this height, its longer side of this size, with the counts."""
    rows, columns, rank = sizes
    high, across, thin = (max(0.07, size * n / max(rows, columns)) for n in sizes)
    second = 5.0 + thin / 2 + across / 2
    for x, extent, name, shape, look in (
        (2.2, (across, high), names[0], (rows, columns), DIRECT),
        (4.4, (thin, high), names[1], (rows, rank), STREAM),
        (second, (across, thin), names[2], (rank, columns), STREAM),
    ):
        pen.box(ax, (x, y), extent, look=look, kind=f"table {pen.shape(*shape)}")
        pen.write(ax, (x, y) if min(extent) > 0.5 else (x, y + extent[1] / 2 + 0.16), name, size=11)
        pen.write(ax, (x, y - extent[1] / 2 - 0.16), pen.shape(*shape), size=8, colour=QUIET)
    pen.write(ax, (3.5, y), "=", size=14)
    pen.write(ax, (4.7 + thin / 2, y), "×", size=14)
    low = y - high / 2 - 0.38
    pen.write(ax, (2.2, low), f"{rows * columns:,} entries", size=8)
    pen.write(ax, (5.65, low), f"{rank * (rows + columns):,} numbers: rank at most {rank}", size=8)


def direct_path(*, d_vocab: int, d_model: int, ax: Axes | None = None) -> Axes:
    """A token goes through W_E into the stream and through W_U to the logits: one big table of low rank, to scale.

    Raises ValueError for sizes below 1.
    """
    pen.positive(d_vocab=d_vocab, d_model=d_model)
    ax = pen.canvas(8, 4.5, ax)
    y, tall = 3.75, 1.1
    thin = max(0.22, min(tall, tall * d_model / d_vocab))
    pen.band(ax, (2.6, y - thin / 2), (2.8, thin))
    pen.box(ax, (0.65, y), (0.8, 0.36), "token", kind="token")
    pen.funnel(ax, (2.2, y), (tall, thin), "$W_E$", (d_vocab, d_model), look=STREAM, width=0.8)
    pen.funnel(ax, (5.8, y), (thin, tall), "$W_U$", (d_model, d_vocab), look=STREAM, width=0.8)
    for start, end in ((1.05, 1.8), (2.6, 5.4), (6.2, 6.8)):
        pen.arrow(ax, (start, y), (end, y), look=DIRECT, width=2.2)
    pen.write(ax, (4, y + thin / 2 + 0.17), f"residual stream: {d_model} numbers", colour=STREAM.line)
    pen.write(ax, (4, y - thin / 2 - 0.17), "the direct path: no head in between")
    for i, length in enumerate((0.25, 0.5, 0.16, 0.72, 0.3, 0.1, 0.42)):
        bar = Rectangle((6.9, y + 0.37 - 0.14 * i), length, 0.1, facecolor=DIRECT.line, alpha=0.75, gid="logit")
        ax.add_patch(bar)
    pen.write(ax, (7.26, y - 0.69), f"{d_vocab} logits", size=8, colour=QUIET)
    _table(ax, 1.4, 1.6, (d_vocab, d_vocab, min(d_model, d_vocab)), ("$W_E W_U$", "$W_E$", "$W_U$"))
    return ax


def kronecker(*, n_pos: int, d_model: int, name: str = "W", ax: Axes | None = None) -> Axes:
    """A pattern and a map as one matrix: a block for each query and key, the attention between them times the map.

    `name` is the map's, a formula without its dollars. Raises ValueError for sizes below 1 or more than 8 positions.
    """
    pen.positive(n_pos=n_pos, d_model=d_model)
    if n_pos > 8:
        raise ValueError(f"{n_pos} positions make too many blocks for a drawing: take at most 8")
    ax = pen.canvas(8, 3.8, ax)
    _blocks(ax, (1.45, 1.65), 1.4, n_pos, QK._replace(dash="-"), lambda query, key: f"$A_{{{query}{key}}}$")
    pen.box(ax, (3.1, 1.65), (0.6, 0.6), f"${name}$", look=OV, kind="map", letters=11)
    _blocks(ax, (6.1, 1.65), 2.7, n_pos, OV, lambda query, key: f"$A_{{{query}{key}}}{name}$")
    pen.write(ax, (2.47, 1.65), "$\\otimes$", size=14)
    pen.write(ax, (3.8, 1.65), "=", size=14)
    for x, y, size in ((1.45, 0.95, n_pos), (3.1, 1.35, d_model), (6.1, 0.3, n_pos * d_model)):
        pen.write(ax, (x, y - 0.17), pen.shape(size, size), size=8, colour=QUIET)
    return ax


def _blocks(ax: Axes, at: Point, size: Number, n_pos: int, look: Look, text: Callable[[int, int], str]) -> None:
    """A square of blocks, a row for each query and a column for each key; those of later keys are empty."""
    cell, left, top = size / n_pos, at[0] - size / 2, at[1] + size / 2
    pen.write(ax, (left - 0.35, at[1]), "query", size=8, colour=QUIET, rotation=90)
    pen.write(ax, (at[0], top + 0.33), "key", size=8, colour=QUIET)
    for query in range(n_pos):
        pen.write(ax, (left - 0.13, top - cell * (query + 0.5)), f"{query}", size=8, colour=QUIET)
        pen.write(ax, (left + cell * (query + 0.5), top + 0.13), f"{query}", size=8, colour=QUIET)
        for key in range(n_pos):
            here = (left + cell * (key + 0.5), top - cell * (query + 0.5))
            seen = key <= query
            edge, kind = (look, "block") if seen else (FAINT._replace(fill=PLAIN.fill), "empty block")
            pen.box(ax, here, (cell, cell), look=edge, kind=kind, width=0.8)
            if cell > 0.3:
                pen.write(ax, here, text(query, key) if seen else "0", colour=pen.INK if seen else QUIET)


def two_by_two(
    source: str, destinations: tuple[str, str], outs: tuple[str, str], *, looks: tuple[Number, Number],
    moved: tuple[Number, Number], ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """How one source joins two destinations with two outs: a head's attention and logits, and their four products.

    `looks` is each destination's attention to the source, `moved` what the source adds to each out. The first
    destination belongs to the first out and the second to the second; the crossed entries are marked.
    """
    ax = pen.canvas(8, 2.9, ax)
    middle, heights = (2.3, 1.45), (2.1, 0.8)
    pen.box(ax, middle, (0.8, 0.42), source, kind="source", mono=True)
    pen.write(ax, (0.62, 2.68), "destination", size=8, colour=QUIET)
    pen.write(ax, (2.3, 2.68), "source", size=8, colour=QUIET)
    pen.write(ax, (4.0, 2.68), "out", size=8, colour=QUIET)
    for high, destination, look, out, logit in zip(heights, destinations, looks, outs, moved):
        pen.box(ax, (0.62, high), (0.8, 0.42), destination, kind="destination", mono=True)
        pen.box(ax, (4.0, high), (0.8, 0.42), out, kind="out", mono=True)
        pen.arrow(ax, (1.04, high), (1.88, 1.45 + (high - 1.45) / 4), look=QK, kind="looks")
        pen.arrow(ax, (2.72, 1.45 + (high - 1.45) / 4), (3.58, high), look=OV, kind="moves")
        up = 0.28 if high > 1.45 else -0.28
        pen.write(ax, (1.38, (high + 1.45) / 2 + up), f"{look:g}", colour=QK.line)
        pen.write(ax, (3.22, (high + 1.45) / 2 + up), f"+{logit:g}", colour=OV.line)
    pen.write(ax, (6.5, 2.68), "attention × what is added", size=8, colour=QUIET)
    for row, (destination, look) in enumerate(zip(destinations, looks)):
        pen.write(ax, (5.2, 1.75 - 0.62 * row), destination, mono=True)
        for column, (out, logit) in enumerate(zip(outs, moved)):
            at, right = (6.1 + 1.0 * column, 1.75 - 0.62 * row), row == column
            look_of = OV if right else WRONG
            pen.box(ax, at, (0.96, 0.56), f"{look * logit:+.2g}", look=look_of, kind="right" if right else "crossed")
            if row == 0:
                pen.write(ax, (at[0], 2.22), out, mono=True)
    pen.write(ax, (6.6, 0.5), "full line: right pairs; dashed: crossed pairs", size=8, colour=QUIET)
    return ax
