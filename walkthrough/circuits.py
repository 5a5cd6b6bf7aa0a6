"""Weights to matrices: what can be said of a model without running it."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.architecture import SCORING, STREAM, leaves_out
from walkthrough.models import check_head


def virtual_weights(
    W_O: Float[Tensor, "write d_head d_model"], W_in: Float[Tensor, "read d_model d_head"]
) -> Float[Tensor, "write read d_head d_head"]:
    """What each head of one layer (write) sends to each head of a later one (read).

    `W_in` is the later layer's W_Q, W_K or W_V. Raises ValueError if the two do not share d_model.
    (Elhage et al. 2021, "Virtual Weights": W_I W_O, for columns.)
    """
    written, read = W_O.shape[-1], W_in.shape[-2]
    if written != read:
        raise ValueError(f"W_O writes {written} dimensions and W_in reads {read}: pass W_O, then W_in")
    return W_O[:, None] @ W_in


def wire_strength(
    W_O: Float[Tensor, "write d_head d_model"], W_in: Float[Tensor, "read d_model d_head"]
) -> Float[Tensor, "write read"]:
    """Frobenius norm of each pair's virtual weights, divided by the norms of its two matrices.

    From 0 to 1. For matrices rotated against each other at random, the mean square is 1 / d_model.
    """
    norms = virtual_weights(W_O, W_in).norm(dim=(2, 3))
    sizes_of_W_O, sizes_of_W_in = W_O.norm(dim=(1, 2)), W_in.norm(dim=(1, 2))
    return norms / (sizes_of_W_O[:, None] * sizes_of_W_in)


def visible_share(
    resid: Float[Tensor, "*batch d_model"], W_in: Float[Tensor, "d_model d_head"]
) -> Float[Tensor, "*batch"]:
    """How much of each vector's squared length lies in the space that W_in reads: from 0 to 1.

    The columns of W_in must be independent (Elhage et al. 2021, "Subspaces and Residual Stream
    Bandwidth").
    """
    basis = torch.linalg.qr(W_in).Q
    seen = resid @ basis
    return seen.square().sum(-1) / resid.square().sum(-1)


def rotated_weights(
    weights: dict[str, Tensor], R: Float[Tensor, "d_model d_model"]
) -> dict[str, Tensor]:  # fmt: skip
    """The weights of the same model, for a stream in which every vector x has become x @ R.

    `weights` holds W_E, W_pos, W_Q, W_K, W_V, W_O and W_U by these names. R is orthogonal.
    """
    write = {name: weights[name] @ R for name in ("W_E", "W_pos", "W_O")}
    read = {name: R.T @ weights[name] for name in ("W_Q", "W_K", "W_V", "W_U")}
    return write | read


def random_rotation(size: int, seed: int) -> Float[Tensor, "{size} {size}"]:
    """A random orthogonal matrix, every one equally likely, in float64: turns a model's axes, or is a baseline.

    The first columns are a basis of a random subspace. (Mirrors are among them; the signs make QR unique.)
    """
    noise = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    Q, upper = torch.linalg.qr(noise)
    return Q * upper.diagonal().sign()


def random_rotation_about(axis: Float[Tensor, " size"], seed: int) -> Float[Tensor, "size size"]:
    """A random orthogonal matrix that leaves one direction where it is, in float64."""
    size = len(axis)
    others = random_rotation(size, seed)[:, 1:]
    frame = torch.linalg.qr(torch.cat([axis.double()[:, None], others], dim=1)).Q  # its first column lies along axis
    rest = random_rotation(size - 1, seed + 1)
    return frame @ torch.block_diag(torch.ones(1, 1, dtype=rest.dtype), rest) @ frame.T


@leaves_out(*STREAM, *SCORING, exact="walkthrough.beyond.folded_circuits:folded_qk_circuit")
def qk_circuit(model, layer: int, head: int):
    """How much each token, as the destination (row), looks for each token, as the source (column).

    A FactoredMatrix [d_vocab d_vocab], in the units that the softmax takes: divided by the square
    root of d_head, which the paper leaves out. Positions are left out. A softmax ignores what is
    added to a whole row, so rows are not comparable with one another. Raises ValueError if there
    is no such head (Elhage et al. 2021, "One-Layer" models: W_E^T W_QK W_E).
    """
    check_head(model, layer, head)
    W_QK = model.QK[layer, head]
    return model.W_E @ W_QK @ model.W_E.T * model.cfg.d_head**-0.5


@leaves_out(*STREAM, "value_biases", "groups", "logits", exact="walkthrough.beyond.folded_circuits:folded_ov_circuit")
def ov_circuit(model, layer: int, head: int):
    """What each token, once it is looked at (row), adds to the logit of each output token (column).

    A FactoredMatrix [d_vocab d_vocab], in logits. Raises ValueError if there is no such head. The
    transpose of the paper's W_U W_OV W_E, whose vectors are columns (Elhage et al. 2021,
    "One-Layer" models).
    """
    check_head(model, layer, head)
    W_OV = model.OV[layer, head]
    return model.W_E @ W_OV @ model.W_U


def centred(circuit):
    """An OV circuit with the mean of each row taken away, which no softmax notices, in logits.

    A FactoredMatrix. A constant added to all logits changes no probability, yet it changes
    eigenvalues, the diagonal and the trace.
    """
    return type(circuit)(circuit.A, circuit.B - circuit.B.mean(-1, keepdim=True))


def eigenvalue_positivity(circuit) -> Float[Tensor, ""]:
    """Sum of the eigenvalues of a square circuit over the sum of their sizes: from -1 to +1.

    +1 if all are positive, about 0 for noise. They come from B A, d_head x d_head, which shares
    all but zeros with A B. Raises ValueError if the circuit is not square (Elhage et al. 2021,
    "Detecting Copying Behavior").
    """
    n_rows, n_columns = circuit.A.shape[0], circuit.B.shape[1]
    if n_rows != n_columns:
        raise ValueError(f"eigenvalues need a square circuit, not {n_rows} by {n_columns}")
    eigenvalues = torch.linalg.eigvals(circuit.B @ circuit.A)
    return eigenvalues.sum().real / eigenvalues.abs().sum()


def own_logit(circuit) -> Float[Tensor, " d_vocab"]:
    """The diagonal of an OV circuit, in logits: what each token adds to itself. Its sum is that of the eigenvalues."""
    return (circuit.A * circuit.B.T).sum(-1)


def own_logit_rank(circuit, block: int = 512) -> Int[Tensor, " d_vocab"]:
    """How many tokens each token raises more than itself: 0 if its own logit is the highest of its row.

    Rows are computed `block` at a time. (Elhage et al. 2021, "Detecting Copying Behavior", weighs such alternatives.)
    """
    above = []
    for start in range(0, len(circuit.A), block):
        panel = circuit.A[start : start + block] @ circuit.B
        above.append((panel > panel.diagonal(start)[:, None]).sum(1))  # no rounding between a logit and itself
    return torch.cat(above)


def shuffled_positivity(circuit, orders: Int[Tensor, "shuffle d_vocab"]) -> Float[Tensor, " shuffle"]:
    """Eigenvalue positivity with the vocabulary of the outs in other orders: what it is if rows and columns are unrelated."""
    return torch.stack([eigenvalue_positivity(type(circuit)(circuit.A, circuit.B[:, order])) for order in orders])


def surprise(circuit, orders: Int[Tensor, "shuffle d_vocab"]) -> Float[Tensor, ""]:
    """How many standard deviations a head's eigenvalue positivity lies above that of its shuffles.

    `circuit` is centred here; each of `orders` is an order of the outs, the columns of `circuit.B`.
    *Elsewhere:* a z-score.
    """
    ov = centred(circuit)
    shuffled = [type(ov)(ov.A, ov.B[:, order]) for order in orders]
    null = torch.stack([eigenvalue_positivity(each) for each in shuffled])
    return (eigenvalue_positivity(ov) - null.mean()) / null.std()
