"""The largest entries of a circuit that is too big to write out: A @ B is d_vocab x d_vocab, its rank only d_head.

A circuit is anything with factors `.A` [rows d_head] and `.B` [d_head columns], such as `circuits` returns. Every
search is exact, in the dtype of the factors; only entries that rounding cannot tell apart may change places.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.architecture import bos

TILE = 256, 1024  # rows and columns of the product that are there at one time: 1 MB in float32, so in cache
PANEL = 2**20  # entries in the few rows that are written out once they are known to hold the largest


def relative_to(circuit, token: int | None = None):
    """Each query's score of a key minus its score of one reference key, by default `<BOS>`: a circuit of the same rank.

    [d_vocab d_vocab], in the units of the circuit; made for QK. A softmax ignores what is added to a whole row, so
    raw scores are not comparable across queries. `<BOS>` is always there, and is where a head can rest: these are the
    log-odds that the query attends to the key rather than to `<BOS>` (exactly so with positions left out). Raises
    ValueError if there is no such token. (For the QK circuit of Elhage et al. 2021, "One-Layer Attention-Only
    Transformers"; the reference is ours.)
    """
    A, B = _factors(circuit)
    if token is None:  # a circuit by hand has no model, and is taken for one of the course's
        token = bos(circuit.model) if hasattr(circuit, "model") else 0
    _check(token, "column", B.shape[1])
    return type(circuit)(A, B - B[:, [token]])


def largest_entries(
    circuit, k: int, largest: bool = True
) -> tuple[Float[Tensor, "{k}"], Int[Tensor, "{k}"], Int[Tensor, "{k}"]]:
    """The k largest (or smallest) entries of a whole circuit: their values, rows and columns, the most extreme first.

    In the units of the circuit; equal entries in the order of their rows, then columns. The circuit is never written
    out: one pass over it keeps each row's maximum, and the k rows with the largest hold the k largest entries, for
    below them a row's best has k others before it. Raises ValueError unless k is from 1 to the number of entries.
    (Elhage et al. 2021, "One-Layer Attention-Only Transformers": some 2.5 billion entries, but the rank is d_head.)
    """
    A, B = _factors(circuit)
    A, n_columns = A if largest else -A, B.shape[1]
    _check_k(k, len(A) * n_columns)
    rows = torch.arange(len(A), device=A.device)
    if k < len(A):
        rows = _order(_row_maxima(A, B), k).sort().values
    values, places = A.new_empty(0), rows.new_empty(0)
    for some in rows.split(max(1, PANEL // n_columns)):
        panel = (A[some] @ B).flatten()
        found = _order(panel, k) if len(values) < k else (panel > values[-1]).nonzero().squeeze(1)
        values = torch.cat([values, panel[found]])
        places = torch.cat([places, some[found // n_columns] * n_columns + found % n_columns])
        best = _order(values, k)
        values, places = values[best], places[best]
    return values if largest else -values, places // n_columns, places % n_columns


def row_entries(circuit, row: int, k: int, largest: bool = True) -> tuple[Float[Tensor, "{k}"], Int[Tensor, "{k}"]]:
    """The k largest (or smallest) entries of one row, and their columns: in OV, the outputs that a source raises most.

    In the units of the circuit; only this row is computed. In QK, the keys that a query looks for. Raises ValueError
    if there is no such row, or unless k is from 1 to the number of columns. One half of a skip-trigram table
    (Elhage et al. 2021, "One-Layer Attention-Only Transformers").
    """
    A, B = _factors(circuit)
    _check(row, "row", len(A))
    return _entries(A[row] @ B, k, largest)


def column_entries(
    circuit, column: int, k: int, largest: bool = True
) -> tuple[Float[Tensor, "{k}"], Int[Tensor, "{k}"]]:
    """The k largest (or smallest) entries of one column, and their rows: in QK, the destinations that look for it.

    In the units of the circuit; only this column is computed. For QK pass `relative_to(circuit)`, for a column
    compares queries. Raises ValueError if there is no such column, or unless k is from 1 to the number of rows. The
    other half of a skip-trigram table (Elhage et al. 2021, "One-Layer Attention-Only Transformers").
    """
    A, B = _factors(circuit)
    _check(column, "column", B.shape[1])
    return _entries(A @ B[:, column], k, largest)


def _row_maxima(A, B):
    """Each row's largest entry, by tiles that are gone as soon as they have been looked at."""
    maxima, tile = A.new_full((len(A),), -torch.inf), A.new_empty(TILE[0] * TILE[1])
    for a, best in zip(A.split(TILE[0]), maxima.split(TILE[0])):
        for b in B.split(TILE[1], dim=1):
            out = tile[: len(a) * b.shape[1]].view(len(a), b.shape[1])
            torch.maximum(best, torch.mm(a, b, out=out).amax(1), out=best)
    return maxima


def _order(values, k):
    """Where the k largest values are (all of them, if there are fewer), the largest first, equal ones in order."""
    k = min(k, len(values))
    at = (values >= values.topk(k).values[-1]).nonzero().squeeze(1)
    return at[values[at].argsort(descending=True, stable=True)[:k]]


def _entries(values, k, largest):
    _check_k(k, len(values))
    at = _order(values if largest else -values, k)
    return values[at], at


def _factors(circuit):
    A, B = circuit.A.detach(), circuit.B.detach()
    if A.ndim != 2 or B.ndim != 2 or A.shape[1] != B.shape[0]:
        raise ValueError(
            f"a circuit's factors are A [rows d_head] and B [d_head columns], not {list(A.shape)} and {list(B.shape)}: "
            "pass one head's"
        )
    if not (A.isfinite().all() and B.isfinite().all()):
        raise ValueError("the circuit's factors must be finite: there is no order among nan")
    return A, B


def _check(index, name, size):
    if not 0 <= index < size:
        raise ValueError(f"there is no {name} {index}: token ids are from 0 to {size - 1}")


def _check_k(k, size):
    if not 1 <= k <= size:
        raise ValueError(f"k is {k}: it must be from 1 to {size}, the number of entries")
