"""Drawings of the residual stream and of what heads do to it."""

from collections.abc import Collection, Sequence

from matplotlib.axes import Axes

import walkthrough.figures.diagrams.grammar as pen
from walkthrough.figures.diagrams.grammar import CHOSEN, OV, PLAIN, QK, QUIET, STREAM, Number

Head = tuple[int, int]  # layer and head


def residual_stream(
    *, n_layers: int, n_heads: int, reads: Sequence[Head] = (), writes: Sequence[Head] = (), ax: Axes | None = None
) -> Axes:
    """The residual stream of one position as a bus, from W_E up to W_U: each layer's heads read it and add to it.

    Heads in `writes` and `reads`, as (layer, head), are picked out, and so is the way between them. Past eight heads
    or four layers some are left out. Raises ValueError for no heads, or a head picked out that the model lacks.
    """
    pen.positive(n_heads=n_heads)
    for layer, head in (*writes, *reads):
        if not (0 <= layer < n_layers and 0 <= head < n_heads):
            raise ValueError(f"there is no head {layer}:{head} in {n_layers} layers of {n_heads} heads")
    layers = pen.some(n_layers, 4, [layer for layer, _ in (*writes, *reads)])
    heads = pen.some(n_heads, 8, [head for _, head in (*writes, *reads)])
    rows = [0.5 if layer is None else 1.35 for layer in layers]
    height, x = 1.9 + (sum(rows) or 0.5), 2.1
    ax = pen.canvas(8 if layers else 4.2, height, ax)
    pen.band(ax, (x - 0.35, 0.65), (0.7, height - 1.3))
    pen.write(ax, (x - 0.6, height / 2), "residual\nstream of\none position", colour=STREAM.line, across="right")
    pen.arrow(ax, (x, 0.8), (x, height - 0.85))
    for y, name, word, beside in ((0.65, "$W_E$", "token in", -0.5), (height - 0.65, "$W_U$", "logits out", 0.5)):
        pen.box(ax, (x, y), (1, 0.34), name, look=STREAM, kind="matrix", letters=11)
        pen.write(ax, (x, y + beside), word)
        pen.arrow(ax, *((x, y + step * beside) for step in ((0.7, 0.36) if y < 1 else (0.32, 0.68))), look=PLAIN)
    low, lows = 0.9, {}
    for layer, row in zip(layers, rows):
        if layer is None:
            pen.write(ax, (5.7, low + row / 2), f"… layers left out, of {n_layers} in all …", colour=QUIET)
        else:
            lows[layer] = low
            picked = [[head for where, head in which if where == layer] for which in (reads, writes)]
            _layer(ax, low, layer, heads, x, *picked)
        low += row
    for first, second in {(write[0], read[0]) for write in writes for read in reads if write[0] < read[0]}:
        ends = (x, lows[first] + 1.17), (x, lows[second] + 0.12)
        pen.arrow(ax, *ends, look=CHOSEN, width=3, tip=False, kind="between")
    if layers:
        pen.write(ax, (5.7, 0.3), "(a head also reads the streams of earlier positions)", size=8, colour=QUIET)
    return ax


def _layer(
    ax: Axes, low: Number, layer: int, heads: Sequence[int | None], x: Number, reads: Collection[int],
    writes: Collection[int],
) -> None:  # fmt: skip
    """A row of heads beside the stream, over the line that they read from, under the line that adds to the stream."""
    under, middle, over = low + 0.12, low + 0.6, low + 1.05
    pitch = min(0.8, 4.2 / len(heads))
    pen.dot(ax, (x, under))
    pen.write(ax, (2.95, middle), f"layer {layer}", weight="bold")
    pen.write(ax, (2.95, under + 0.13), "read", size=8, colour=STREAM.line)
    pen.write(ax, (2.95, over + 0.13), "add", size=8, colour=OV.line)
    for i, head in enumerate(heads):
        place = 5.7 + pitch * (i - (len(heads) - 1) / 2)
        if head is None:
            pen.write(ax, (place, middle), "…", size=12)
            continue
        upward = (x, under), (place, under), (place, middle - 0.16)
        back = (place, middle + 0.16), (place, over), (x + 0.13, over)
        for which, ends, look in ((reads, upward, STREAM), (writes, back, OV)):
            if head in which:
                pen.arrow(ax, *ends, look=CHOSEN, width=3, level=3.5, kind="picked")
            else:
                pen.arrow(ax, *ends, look=look, width=1.2)
        look, size = CHOSEN if head in (*reads, *writes) else PLAIN, (min(0.46, 0.9 * pitch), 0.32)
        pen.box(ax, (place, middle), size, f"{layer}:{head}", look=look, kind="head", rounded=True)
    pen.sign(ax, (x, over), "+", look=CHOSEN if writes else OV)


def head(*, d_model: int, d_head: int, d_vocab: int | None = None, ax: Axes | None = None) -> Axes:
    """One attention head as its two circuits: QK says where it looks, OV says what it moves.

    Between the streams of a source and of a destination; each matrix is as high on a side as that side's space is
    large. With `d_vocab` the streams begin in W_E and end in W_U. Raises ValueError for sizes below 1.
    """
    pen.positive(d_model=d_model, d_head=d_head, d_vocab=1 if d_vocab is None else d_vocab)
    lift = 0.0 if d_vocab is None else 0.45
    low, high, middle, height = 1.5 + lift, 3.75 + lift, 4.0, 5.2 + 2 * lift
    source, destination, tip = 0.85, 7.15, height - 0.35 - lift
    ax = pen.canvas(8, height, ax)
    for x, name in ((source, "source"), (destination, "destination")):
        pen.band(ax, (x - 0.3, 0.6), (0.6, tip - 0.6))
        pen.arrow(ax, (x, 0.6), (x, tip - 0.03))
        pen.write(ax, (x, 0.25), f"{name} token", up="baseline")
        if d_vocab is not None:
            pen.named(ax, (x, 0.75), "$W_E$", (d_vocab, d_model))
    pen.write(ax, (source, 0.09), "one of many", size=8, colour=QUIET)
    for y, name, look, side in ((low, "QK circuit: where to look", QK, -1), (high, "OV circuit: what is moved", OV, 1)):
        pen.panel(ax, (middle, y), (4.9, 1.5), look=look)
        pen.write(ax, (middle, y + 0.57 * side), name, colour=look.line, weight="bold")
        if d_vocab is not None:
            table = f"for all pairs of tokens: a table {pen.shape(d_vocab, d_vocab)}"
            pen.write(ax, (middle, y + 0.38 * side), table, size=8, colour=QUIET)
    if d_vocab is not None:
        pen.named(ax, (destination, height - 0.8), "$W_U$", (d_model, d_vocab))
        pen.arrow(ax, (destination, height - 0.53), (destination, height - 0.33), look=PLAIN)
        pen.write(ax, (destination, height - 0.2), "logits")
    tall, thin = 0.85, max(0.2, min(0.85, 0.85 * d_head / d_model))
    for x, toward, name, word, look, y in (
        (source, 1, "K", "key", QK, low), (destination, -1, "Q", "query", QK, low), (source, 1, "V", "value", OV, high)
    ):  # fmt: skip
        pen.dot(ax, (x, y), look=look)
        pen.arrow(ax, (x, y), (x + 1.05 * toward, y), look=look)
        at, sides = (x + 1.35 * toward, y), (tall, thin)[::toward]
        pen.funnel(ax, at, sides, f"$W_{name}$", (d_model, d_head), look=look)
        pen.arrow(ax, (x + 1.65 * toward, y), (middle - 0.13 * toward, y), look=look)
        pen.write(ax, (x + 2.35 * toward, y + 0.16), f"{word}: {d_head} numbers", size=8, colour=look.line)
    pen.arrow(ax, (middle + 0.13, high), (5.5, high), look=OV)
    pen.funnel(ax, (5.8, high), (thin, tall), "$W_O$", (d_head, d_model), look=OV)
    pen.arrow(ax, (6.1, high), (destination - 0.13, high), look=OV)
    pen.arrow(ax, (middle, low + 0.13), (middle, high - 0.13), look=QK)
    pen.box(ax, (middle, (low + high) / 2), (2.1, 0.3), "softmax over all sources", look=QK, rounded=True, letters=8)
    pen.write(ax, (middle, low - 0.21), "dot product: one score", size=8, colour=QK.line)
    pen.write(ax, (4.8, high + 0.16), "times attention", size=8, colour=OV.line)
    pen.write(ax, (destination + 0.36, high), "added", size=8, colour=OV.line, across="left")
    pen.write(ax, (5.2, (low + high) / 2), "attention, from 0 to 1", size=8, colour=QK.line, across="left")
    for at, which, look in (((middle, low), "·", QK), ((middle, high), "×", OV), ((destination, high), "+", OV)):
        pen.sign(ax, at, which, look=look)
    return ax


COMPOSITION = {
    "Q": "what was brought to the destination decides what the later head looks for",
    "K": "what was brought to the source decides whether the later head looks there",
    "V": "what was brought to the source is moved on by the later head: a virtual head",
}


def composition(kind: str, *, ax: Axes | None = None) -> Axes:
    """An earlier head writes into the stream what a later head's query, key or value ("Q", "K" or "V") reads.

    Three streams side by side: an earlier position, the later head's source, its destination. The way of what the
    earlier head wrote is picked out; for "V" that is the whole way of the virtual head. Raises ValueError for another kind.
    """
    if kind not in COMPOSITION:
        raise ValueError(f'the kind of composition is "Q", "K" or "V", not {kind!r}')
    ax = pen.canvas(8, 4.5, ax)
    pen.write(ax, (4, 4.3), f"{kind}-composition", size=11, weight="bold", colour=CHOSEN.line)
    pen.write(ax, (4, 4.02), COMPOSITION[kind])
    before, source, destination = 0.9, 3.5, 7.1
    for name, x in (("earlier position", before), ("source", source), ("destination", destination)):
        pen.band(ax, (x - 0.25, 0.5), (0.5, 3.25))
        pen.arrow(ax, (x, 0.5), (x, 3.72), width=1)
        pen.write(ax, (x, 0.25), name, colour=STREAM.line, up="baseline")
    low, high, middle = 1.2, 2.6, (source + destination) / 2
    ports = {"Q": (destination, high), "K": (source, high - 0.2), "V": (source, high + 0.2)}
    meets, turn = ports[kind]
    x = middle if kind == "Q" else (before + source) / 2
    virtual = {"look": CHOSEN, "width": 3} if kind == "V" else {}
    pen.dot(ax, (before, low), **({"look": CHOSEN} if virtual else {}))
    pen.arrow(ax, (before, low), (before + 0.25, low), tip=False, **virtual)
    pen.arrow(ax, (before + 0.25, low), (x - 0.6, low), level=0.5, **virtual)  # under the streams that it only passes
    pen.box(ax, (x, low), (1.2, 0.5), "earlier head", look=CHOSEN, kind="head", rounded=True)
    asks = low - 0.45  # the earlier head has a query as well
    pen.dot(ax, (meets, asks), look=QK)
    pen.arrow(ax, (meets, asks), (x, asks), (x, low - 0.25), look=QK, kind="query of the earlier head")
    pen.write(ax, ((x + meets - 0.25) / 2, asks - 0.13), "Q", size=9, colour=QK.line)
    pen.arrow(ax, (x + 0.6, low), (meets - 0.13, low), look=CHOSEN, width=3)
    pen.arrow(ax, (meets, low), (meets, turn), look=CHOSEN, width=3, tip=False)
    pen.sign(ax, (meets, low), "+", look=CHOSEN)
    pen.box(ax, (middle, high), (1.5, 0.8), "later\nhead", kind="head", rounded=True)
    for port, (stream, y) in ports.items():
        toward, picked = 1 if stream < middle else -1, port == kind
        look = CHOSEN if picked else OV if port == "V" else QK
        pen.dot(ax, (stream, y), look=look)
        ends = (stream, y), (middle - 0.75 * toward, y)
        pen.arrow(ax, *ends, look=look, width=3 if picked else 1.4, kind="picked" if picked else "port")
        weight = "bold" if picked else "normal"
        pen.write(ax, (middle - 0.58 * toward, y), port, size=11, colour=look.line, weight=weight)
    out = (middle, high + 0.4), (middle, high + 0.75), (destination - 0.13, high + 0.75)
    pen.arrow(ax, *out, **(virtual or {"look": OV}))
    pen.sign(ax, (destination, high + 0.75), "+", look=CHOSEN if virtual else OV)
    return ax
