"""Exercises 7.1 and 7.2: which head reads which, in our convention and in the paper's."""

import math

import torch
from torch import Tensor


def noise(seed: int, *shapes: tuple[int, ...]) -> list[Tensor]:
    """Random tensors of these shapes."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


# 7.1 the composition scores of a model


def models_and_kinds() -> list[tuple]:
    """A model of two layers, each kind in turn; and two layers of a model of three."""
    from walkthrough import models

    two, three = models.tiny(2, seed=7), models.tiny(3, seed=8)
    return [(two, kind, (0, 1)) for kind in "QKV"] + [(three, "K", (0, 2)), (three, "V", (1, 2))]


def slow_scores(model, kind: str, layers: tuple[int, int]) -> Tensor:
    """Pair by pair, entry by entry squared; each matrix from its two factors."""
    earlier, later = layers
    rows = []
    for W_V, W_O in zip(model.W_V[earlier], model.W_O[earlier]):
        row = []
        for W_Q, W_K, W_V2, W_O2 in zip(model.W_Q[later], model.W_K[later], model.W_V[later], model.W_O[later]):
            left, right = {"Q": (W_Q, W_K.T), "K": (W_K, W_Q.T), "V": (W_V2, W_O2)}[kind]
            A, B = W_V.double() @ W_O.double(), left.double() @ right.double()
            row.append(math.sqrt(((A @ B) ** 2).sum() / (A**2).sum() / (B**2).sum()))
        rows.append(torch.tensor(row))
    return torch.stack(rows)


def norms(model, kind: str, layers: tuple[int, int], product=torch.matmul) -> tuple[Tensor, Tensor, Tensor]:
    """Norms of every product [write read], of what is written [write 1] and of what reads it [1 read]."""
    writes, QK, OV = model.OV[layers[0]].AB, model.QK[layers[1]].AB, model.OV[layers[1]].AB
    reads = {"Q": QK, "K": QK.mT, "V": OV, "V read by W_O": OV.mT}[kind]
    size = lambda x: x.norm(dim=(-2, -1))
    return size(product(writes[:, None], reads[None])), size(writes)[:, None], size(reads)[None]


def scored(model, kind: str, layers: tuple[int, int], **product) -> Tensor:
    """Composition scores, of any product."""
    products, writes, reads = norms(model, kind, layers, **product)
    return products / writes / reads


def wires(model, kind: str, layers: tuple[int, int]) -> Tensor:
    """The wire strengths of notebook 01: W_O with W_Q, W_K or W_V alone."""
    W_in = {"Q": model.W_Q, "K": model.W_K, "V": model.W_V}[kind][layers[1]]
    W_O, size = model.W_O[layers[0]], lambda x: x.norm(dim=(-2, -1))
    return size(W_O[:, None] @ W_in[None]) / size(W_O)[:, None] / size(W_in)[None]


SWAPPED = {"Q": "K", "K": "Q", "V": "V"}
SCORE_MISTAKES = {
    "Q and K are swapped: in our rows W_QK has the queries on its left, so W_OV W_QK is read by the query":
        lambda m, kind, layers: scored(m, SWAPPED[kind], layers),
    "W_QK is never transposed: the key reads through W_K, which stands on the right of W_QK":
        lambda m, kind, layers: scored(m, kind.replace("K", "Q"), layers),
    "W_QK is transposed for both: the query reads through W_Q, which already stands on the left":
        lambda m, kind, layers: scored(m, kind.replace("Q", "K"), layers),
    "for V, what reads is the later head's W_V, the left factor of its W_OV: no transpose is needed there":
        lambda m, kind, layers: scored(m, "V read by W_O" if kind == "V" else kind, layers),
    "W_OV of the earlier head is transposed: in our rows, what it writes lies on the right":
        lambda m, kind, layers: scored(m, kind, layers, product=lambda A, B: A.mT @ B),
    "the factors are in the wrong order: in our rows the earlier head stands on the left":
        lambda m, kind, layers: scored(m, kind, layers, product=lambda A, B: B @ A),
    "these are the wire strengths of notebook 01: here the whole W_OV and the whole of what reads it are compared":
        lambda m, kind, layers: wires(m, kind, layers),
    "not divided by anything: a head with larger weights would seem to compose more":
        lambda m, kind, layers: norms(m, kind, layers)[0],
    "divided by the size of what is written only: the size of what reads belongs there too":
        lambda m, kind, layers: norms(m, kind, layers)[0] / norms(m, kind, layers)[1],
    "divided by the size of what reads only: the size of what is written belongs there too":
        lambda m, kind, layers: norms(m, kind, layers)[0] / norms(m, kind, layers)[2],
    "squared norms: the score is made of the norms themselves":
        lambda m, kind, layers: scored(m, kind, layers) ** 2,
    "chance was subtracted: the score itself is asked, from 0 to 1":
        lambda m, kind, layers: scored(m, kind, layers) - m.cfg.d_model**-0.5,
    "divided by chance: the score itself is asked, from 0 to 1":
        lambda m, kind, layers: scored(m, kind, layers) * m.cfg.d_model**0.5,
    "always layers 0 and 1: the argument `layers` says which two":
        lambda m, kind, layers: scored(m, kind, (0, 1)),
    "the layers are exchanged: the first of the two writes, the second reads":
        lambda m, kind, layers: scored(m, kind, layers[::-1]),
}  # fmt: skip


# 7.2 Q- and K-composition over the baseline, in the paper's convention


def pairs_of_matrices() -> list[tuple[Tensor, Tensor]]:
    """The paper's W_OV of an earlier head and W_QK of a later one: they act on columns, and are of low rank."""
    cases = []
    for seed, (d_model, d_head) in enumerate([(9, 3), (16, 2), (7, 4)]):
        W_Q, W_K, W_V, W_O = noise(seed, (d_head, d_model), (d_head, d_model), (d_head, d_model), (d_model, d_head))
        cases.append((W_O @ W_V, W_Q.T @ W_K))
    return cases


def slow_norm(matrix: Tensor) -> float:
    """The Frobenius norm, entry by entry."""
    return math.sqrt(sum(float(entry) ** 2 for entry in matrix.flatten()))


def slow_excess(W_OV: Tensor, W_QK: Tensor) -> list[float]:
    """Q, then K: the norm of each product, over both norms, minus the baseline."""
    whole = slow_norm(W_OV) * slow_norm(W_QK)
    return [slow_norm(side @ W_OV) / whole - 1 / math.sqrt(len(W_OV)) for side in (W_QK.T, W_QK)]


def scaled(products: list[Tensor], W_OV: Tensor, W_QK: Tensor, baseline: float | None = None) -> list[Tensor]:
    """Composition scores of any two products, minus a baseline (1/√d_model unless another is given)."""
    baseline = len(W_OV) ** -0.5 if baseline is None else baseline
    return [product.norm() / (W_OV.norm() * W_QK.norm()) - baseline for product in products]


def spectral(matrix: Tensor) -> Tensor:
    """The largest singular value."""
    return torch.linalg.matrix_norm(matrix, 2)


EXCESS_MISTAKES = {
    "Q and K are swapped: Q-composition is ‖W_QKᵀ W_OV‖, for the query is the left side of W_QK":
        lambda ov, qk: scaled([qk @ ov, qk.T @ ov], ov, qk),
    "W_OV is transposed: the paper's matrices act on columns, so W_OV is already the right way round":
        lambda ov, qk: scaled([qk.T @ ov.T, qk @ ov.T], ov, qk),
    "the factors are in the wrong order: ‖W_OV W_QK‖ is not ‖W_QK W_OV‖, though their traces agree":
        lambda ov, qk: scaled([ov @ qk.T, ov @ qk], ov, qk),
    "divided by the norm of W_OV only: the norm of W_QK belongs there too":
        lambda ov, qk: [(side @ ov).norm() / ov.norm() - len(ov) ** -0.5 for side in (qk.T, qk)],
    "divided by the norm of W_QK only: the norm of W_OV belongs there too":
        lambda ov, qk: [(side @ ov).norm() / qk.norm() - len(ov) ** -0.5 for side in (qk.T, qk)],
    "not divided by anything: a head with larger weights would seem to compose more":
        lambda ov, qk: [(side @ ov).norm() - len(ov) ** -0.5 for side in (qk.T, qk)],
    "the baseline is missing: subtract 1/√d_model":
        lambda ov, qk: scaled([qk.T @ ov, qk @ ov], ov, qk, 0.0),
    "the baseline is 1/√d_model, not 1/√d_head: the rank plays no part":
        lambda ov, qk: scaled([qk.T @ ov, qk @ ov], ov, qk, torch.linalg.matrix_rank(ov).item() ** -0.5),
    "the baseline is 1/√d_model: its square root is missing":
        lambda ov, qk: scaled([qk.T @ ov, qk @ ov], ov, qk, 1 / len(ov)),
    "that is the spectral norm, the largest singular value: the Frobenius norm adds up all their squares":
        lambda ov, qk: [spectral(x @ ov) / (spectral(x) * spectral(ov)) - len(ov) ** -0.5 for x in (qk.T, qk)],
    "that is the score over the baseline, less 1: the difference of the two was asked":
        lambda ov, qk: [x * len(ov) ** 0.5 for x in scaled([qk.T @ ov, qk @ ov], ov, qk)],
    "that is the score over the baseline: the difference of the two was asked":
        lambda ov, qk: [x * len(ov) ** 0.5 for x in scaled([qk.T @ ov, qk @ ov], ov, qk, 0.0)],
    "that is the baseline minus the score: above chance should be positive":
        lambda ov, qk: [-x for x in scaled([qk.T @ ov, qk @ ov], ov, qk)],
    "these are squared scores, less the chance level of squares: the score is made of the norms themselves":
        lambda ov, qk: [((x @ ov).norm() / (x.norm() * ov.norm())) ** 2 - 1 / len(ov) for x in (qk.T, qk)],
    "squared norms: the score is made of the norms themselves":
        lambda ov, qk: [((x @ ov).norm() / (x.norm() * ov.norm())) ** 2 - len(ov) ** -0.5 for x in (qk.T, qk)],
}  # fmt: skip
