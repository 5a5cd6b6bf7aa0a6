"""Drawings of the residual stream and of what one head does to it."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from walkthrough.figures.diagrams.grammar import canvas, positive


def residual_stream(
    *, n_layers: int, n_heads: int, reads: Sequence[tuple[int, int]] = (), writes: Sequence[tuple[int, int]] = (),
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """The residual stream of one position as a bus: each layer's heads read from it and add to it."""
    positive(n_heads=n_heads)
    ax = canvas(8, 3, ax)
    ax.text(4, 1.5, f"residual stream: {n_layers} layers of {n_heads} heads", ha="center")
    return ax


def head(*, d_model: int, d_head: int, d_vocab: int | None = None, ax: Axes | None = None) -> Axes:
    """One attention head as two circuits: QK says where it looks, OV says what it moves."""
    positive(d_model=d_model, d_head=d_head)
    ax = canvas(8, 3, ax)
    ax.text(4, 1.5, f"one head: QK and OV, {d_model} to {d_head}", ha="center")
    return ax


def composition(kind: str, *, ax: Axes | None = None) -> Axes:
    """An earlier head writes into the stream what a later head's query, key or value ("Q", "K" or "V") reads."""
    if kind not in ("Q", "K", "V"):
        raise ValueError(f'the kind of composition is "Q", "K" or "V", not {kind!r}')
    ax = canvas(8, 3, ax)
    ax.text(4, 1.5, f"{kind}-composition", ha="center")
    return ax
