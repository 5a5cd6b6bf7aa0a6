"""Fewer numbers for the same map: a head's products W_Q W_K^T and W_V W_O, cut in rank by what the texts make them read.

`walkthrough.beyond.smaller_network` runs what comes of it; which ranks to keep is measured in
`walkthrough.beyond.smaller_importance`.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.architecture import EVERYTHING, leaves_out
from walkthrough.models import head_weights

Circuit = tuple[str, int, int]  # "QK" or "OV", layer, head
KINDS = ("QK", "OV")


def triangles(
    left: Float[Tensor, "read rank"], right: Float[Tensor, "rank write"], read_moment: Float[Tensor, "read read"] | None,
    write_moment: Float[Tensor, "write write"] | None,
) -> tuple[Float[Tensor, "rank rank"], Float[Tensor, "rank rank"]]:  # fmt: skip
    """Upper triangles R with R^T R = left^T E[x x^T] left, and likewise right E[y y^T] right^T.

    They carry all lengths, so that what is of size d_model stays out of the decomposition.
    """
    weighed_left = left if read_moment is None else read_moment.double() @ left
    weighed_right = right if write_moment is None else right @ write_moment.double()
    grams = left.T @ weighed_left, weighed_right @ right.T
    return tuple(torch.linalg.cholesky(gram, upper=True) for gram in grams)


def weighted_cut(
    left: Float[Tensor, "read rank"], right: Float[Tensor, "rank write"], keep: int,
    read_moment: Float[Tensor, "read read"] | None = None, write_moment: Float[Tensor, "write write"] | None = None,
) -> tuple[Float[Tensor, "read keep"], Float[Tensor, "keep write"]]:  # fmt: skip
    """Factors of rank `keep` whose product is nearest to left @ right, on average over what is read.

    Nearest: the least mean of (x (left right - new) y)² over independent vectors x and y with the second moments E[x xᵀ]
    and E[y yᵀ]; None stands for no preferred direction, and with neither it is the plain SVD (Eckart and Young 1936, in
    the coordinates in which what is read is white). Raises ValueError for more ranks than there are.
    """
    rank = left.shape[1]
    if not 0 <= keep <= rank:
        raise ValueError(f"this map has rank {rank}: keep from 0 to {rank} of it, not {keep}")
    left, right = left.double(), right.double()
    R_left, R_right = triangles(left, right, read_moment, write_moment)
    U, S, Vh = torch.linalg.svd(R_left @ R_right.T)
    root = S[:keep].sqrt()
    new_left = left @ torch.linalg.solve_triangular(R_left, U[:, :keep], upper=True) * root
    new_right = torch.linalg.solve_triangular(R_right, Vh[:keep].T, upper=True).T @ right * root[:, None]
    return new_left.float(), new_right.float()


def rank_importances(
    left: Float[Tensor, "read rank"], right: Float[Tensor, "rank write"],
    read_moment: Float[Tensor, "read read"] | None = None, write_moment: Float[Tensor, "write write"] | None = None,
) -> Float[Tensor, " rank"]:  # fmt: skip
    """The share of the mean square of x (left right) y that each rank carries, falling; moments as in `weighted_cut`."""
    R_left, R_right = triangles(left.double(), right.double(), read_moment, write_moment)
    squares = torch.linalg.svdvals(R_left @ R_right.T).square()
    return (squares / squares.sum()).float()


def circuit_factors(model, circuit: Circuit) -> tuple[Float[Tensor, "read d_head"], Float[Tensor, "d_head write"]]:
    """The two factors of W_Q W_K^T / √d_head ("QK") or of W_V W_O ("OV") of one head.

    Raises ValueError for a head that the model does not have, and for another name of a circuit.
    """
    kind, layer, head = circuit
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is no circuit of a head: take 'QK' or 'OV'")
    W_Q, W_K, W_V, W_O = head_weights(model, layer, head)
    return (W_Q / W_Q.shape[1] ** 0.5, W_K.T) if kind == "QK" else (W_V, W_O)


@leaves_out(*EVERYTHING, instead="use a model of attention alone, as the course's are")
def read_moments(model, tokens: Int[Tensor, "window pos"]) -> dict[Circuit, tuple[Tensor, Tensor | None]]:
    """Second moments of what each circuit reads on these texts, by circuit, as `weighted_cut` takes them.

    A QK circuit reads a query's stream with its position, and keys' from which the mean over all positions is taken:
    a softmax ignores what all keys have in common. An OV circuit reads what its pattern mixes; where it writes, no
    direction is preferred. Raises ValueError for a model with more than attention.
    """
    found = {}
    _, cache = model.run_with_cache(tokens)
    for layer in range(model.cfg.n_layers):
        resid, pattern = cache["resid_pre", layer], cache["pattern", layer]
        placed = (resid + model.W_pos[: tokens.shape[1]]).flatten(0, 1).double()
        QK = placed.T @ placed / len(placed), torch.cov(placed.T, correction=0)
        for head in range(model.cfg.n_heads):
            mixed = (pattern[:, head] @ resid).flatten(0, 1).double()
            found["QK", layer, head] = QK
            found["OV", layer, head] = mixed.T @ mixed / len(mixed), None
    return found
