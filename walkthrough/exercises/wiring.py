"""Answers and mistakes of exercises on virtual weights and their strength."""

import torch
from torch import Tensor


def wires_slowly(W_O: Tensor, W_in: Tensor) -> Tensor:
    """One pair of heads at a time; what unit vectors of the writing head's z become in the reading head."""
    wire = lambda out, into: torch.stack([out[i] @ into for i in range(len(out))])
    return torch.stack([torch.stack([wire(out, into) for into in W_in]) for out in W_O])


VIRTUAL_MISTAKES = {
    "wrong order: W_in @ W_O is d_model × d_model, from the stream to the stream; the wire is W_O @ W_in":
        lambda W_O, W_in: W_in @ W_O[:, None],
    "the first axis is for the heads that write, the second for those that read: yours are exchanged":
        lambda W_O, W_in: wires_slowly(W_O, W_in).transpose(0, 1),
    "each wire is transposed: its rows are the numbers of z that are sent, its columns those that arrive":
        lambda W_O, W_in: wires_slowly(W_O, W_in).mT,
    "both pairs of axes are exchanged: writing head, reading head, then what is sent, what arrives":
        lambda W_O, W_in: wires_slowly(W_O, W_in).transpose(0, 1).mT,
    "only head i with head i: every head that writes can be read by every head":
        lambda W_O, W_in: W_O @ W_in,
    "the heads that write were added up: keep an axis for them":
        lambda W_O, W_in: wires_slowly(W_O, W_in).sum(0),
    "the heads that read were added up: keep an axis for them":
        lambda W_O, W_in: wires_slowly(W_O, W_in).sum(1),
    "those are norms: the matrices themselves are asked for":
        lambda W_O, W_in: wires_slowly(W_O, W_in).norm(dim=(-1, -2)),
}  # fmt: skip


def strength_slowly(W_O: Tensor, W_in: Tensor) -> Tensor:
    """One pair of heads at a time, with norms added up entry by entry."""
    size = lambda W: sum(entry.item() ** 2 for entry in W.flatten()) ** 0.5
    return torch.tensor([[size(out @ into) / (size(out) * size(into)) for into in W_in] for out in W_O])


def both_sizes(W_O: Tensor, W_in: Tensor) -> Tensor:
    """Product of the two Frobenius norms, for each pair of heads."""
    return W_O.norm(dim=(1, 2))[:, None] * W_in.norm(dim=(1, 2))


def wire_norms(W_O: Tensor, W_in: Tensor) -> Tensor:
    """Frobenius norm of each wire."""
    return strength_slowly(W_O, W_in) * both_sizes(W_O, W_in)


def spectral(W: Tensor) -> Tensor:
    """Largest singular value of each matrix."""
    return torch.linalg.matrix_norm(W, ord=2)


def nuclear(W: Tensor) -> Tensor:
    """Sum of the singular values of each matrix."""
    return torch.linalg.matrix_norm(W, ord="nuc")


def entries(W: Tensor) -> Tensor:
    """Sum of the sizes of all entries of each matrix."""
    return W.abs().sum((-1, -2))


WIRE_MISTAKES = {
    "wrong order: W_in @ W_O is d_model × d_model and has another norm; the wire is W_O @ W_in":
        lambda W_O, W_in: (W_in @ W_O[:, None]).norm(dim=(-1, -2)) / both_sizes(W_O, W_in),
    "transposed: rows are the heads that write, columns those that read":
        lambda W_O, W_in: strength_slowly(W_O, W_in).T,
    "you divided by the norms of all of W_O and all of W_in: each head has a norm of its own, so give dim=(1, 2)":
        lambda W_O, W_in: wire_norms(W_O, W_in) / (W_O.norm() * W_in.norm()),
    "you divided by the norm of all of W_O: each head that writes has a norm of its own, so give dim=(1, 2)":
        lambda W_O, W_in: wire_norms(W_O, W_in) / (W_O.norm() * W_in.norm(dim=(1, 2))),
    "you divided by the norm of all of W_in: each head that reads has a norm of its own, so give dim=(1, 2)":
        lambda W_O, W_in: wire_norms(W_O, W_in) / (W_O.norm(dim=(1, 2))[:, None] * W_in.norm()),
    "those are norms over all pairs at once: a norm is asked for each pair":
        lambda W_O, W_in: wire_norms(W_O, W_in).norm() / (W_O.norm() * W_in.norm()),
    "the norm of all wires together stands above the line: each pair has one of its own":
        lambda W_O, W_in: wire_norms(W_O, W_in).norm() / both_sizes(W_O, W_in),
    "the norms below the line are exchanged: W_O's go with the rows, W_in's with the columns":
        lambda W_O, W_in: wire_norms(W_O, W_in) / (W_in.norm(dim=(1, 2))[:, None] * W_O.norm(dim=(1, 2))),
    "divide by the sizes of W_O and W_in":
        wire_norms,
    "divide by the size of W_in as well":
        lambda W_O, W_in: wire_norms(W_O, W_in) / W_O.norm(dim=(1, 2))[:, None],
    "divide by the size of W_O as well":
        lambda W_O, W_in: wire_norms(W_O, W_in) / W_in.norm(dim=(1, 2)),
    "divide by the product of the two sizes, not by their sum":
        lambda W_O, W_in: wire_norms(W_O, W_in) / (W_O.norm(dim=(1, 2))[:, None] + W_in.norm(dim=(1, 2))),
    "that is the squared norm: take the root":
        lambda W_O, W_in: strength_slowly(W_O, W_in) ** 2,
    "the norms below the line are squared: take their roots":
        lambda W_O, W_in: wire_norms(W_O, W_in) / both_sizes(W_O, W_in) ** 2,
    "that is the largest singular value: the Frobenius norm is the root of the sum of all their squares":
        lambda W_O, W_in: spectral(W_O[:, None] @ W_in) / both_sizes(W_O, W_in),
    "those are spectral norms, the largest singular values: take Frobenius norms":
        lambda W_O, W_in: spectral(W_O[:, None] @ W_in) / (spectral(W_O)[:, None] * spectral(W_in)),
    "those are nuclear norms, sums of singular values: take Frobenius norms":
        lambda W_O, W_in: nuclear(W_O[:, None] @ W_in) / (nuclear(W_O)[:, None] * nuclear(W_in)),
    "those are sums of absolute entries: square the entries, add, and take the root":
        lambda W_O, W_in: entries(W_O[:, None] @ W_in) / (entries(W_O)[:, None] * entries(W_in)),
    "a norm for each row of a wire: the Frobenius norm goes over both of its axes":
        lambda W_O, W_in: (W_O[:, None] @ W_in).norm(dim=-1) / both_sizes(W_O, W_in)[..., None],
    "only head i with head i: every head that writes can be read by every head":
        lambda W_O, W_in: strength_slowly(W_O, W_in).diagonal(),
}  # fmt: skip
