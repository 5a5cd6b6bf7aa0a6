"""Drawings of products and sums of matrices: what the paths through a model are made of."""

from matplotlib.axes import Axes

from walkthrough.figures.diagrams.grammar import canvas, positive


def low_rank(
    *, rows: int, columns: int, rank: int, names: tuple[str, str, str] = ("", "", ""), ax: Axes | None = None
) -> Axes:
    """A big table as a tall matrix times a wide one, to scale; `names` stand on the table and on its two factors."""
    positive(rows=rows, columns=columns, rank=rank)
    ax = canvas(8, 3, ax)
    ax.text(4, 1.5, f"{rows} x {columns} = {rows} x {rank} times {rank} x {columns}", ha="center")
    return ax


def direct_path(*, d_vocab: int, d_model: int, ax: Axes | None = None) -> Axes:
    """A token goes through W_E into the stream and through W_U to the logits: one big table of low rank."""
    positive(d_vocab=d_vocab, d_model=d_model)
    ax = canvas(8, 3, ax)
    ax.text(4, 1.5, f"direct path: {d_vocab} to {d_model} to {d_vocab}", ha="center")
    return ax


def freezing(*, n_layers: int = 1, ax: Axes | None = None) -> Axes:
    """Run once and store the attention patterns; run again with the patterns forced, and all else is linear."""
    positive(n_layers=n_layers)
    ax = canvas(8, 3, ax)
    ax.text(4, 1.5, "freezing", ha="center")
    return ax


def path_expansion(*, n_layers: int, n_heads: int, ax: Axes | None = None) -> Axes:
    """A product of layers on the left, each the identity plus its heads; on the right the sum of all paths."""
    positive(n_layers=n_layers, n_heads=n_heads)
    ax = canvas(8, 3, ax)
    ax.text(4, 1.5, f"{(1 + n_heads) ** n_layers} paths", ha="center")
    return ax


def kronecker(*, n_pos: int, d_model: int, ax: Axes | None = None) -> Axes:
    """A pattern and a map in one matrix: a block for each query and key, the attention between them times the map."""
    positive(n_pos=n_pos, d_model=d_model)
    ax = canvas(8, 3, ax)
    ax.text(4, 1.5, f"{n_pos * d_model} x {n_pos * d_model}", ha="center")
    return ax
