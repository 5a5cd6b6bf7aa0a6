"""Heads that read what earlier heads wrote: composition scores, and the circuits of two heads in a row."""

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from walkthrough import models
from walkthrough.architecture import SCORING, STREAM, leaves_out
from walkthrough.models import check_head, head_weights


@leaves_out(*STREAM, exact="walkthrough.beyond.folded_circuits:folded_composition_scores")
def composition_scores(
    model, kind: str, layers: tuple[int, int] = (0, 1)
) -> Float[Tensor, "write read"]:  # fmt: skip
    """How much each head of a later layer (read) reads, as Q, K or V, of what earlier ones wrote.

    The norm of the product over the norms of its two factors, W_OV of the earlier head and what
    reads it: from 0 to 1, about 1 / sqrt(d_model) for unrelated heads. Raises ValueError for
    another kind, or for layers in the wrong order (Elhage et al. 2021, "Two-Layer" models).
    """
    if kind not in ("Q", "K", "V"):
        raise ValueError(f"there is no {kind!r}-composition: heads read what others wrote as Q, K, V")
    earlier, later = layers
    check_pair(model, (earlier, 0), (later, 0))
    writes, W_QK = model.OV[earlier].AB, model.QK[later].AB
    reads = {"Q": W_QK, "K": W_QK.mT, "V": model.OV[later].AB}[kind]
    products = writes[:, None] @ reads  # one for each pair
    sizes = writes.norm(dim=(1, 2))[:, None] * reads.norm(dim=(1, 2))
    return products.norm(dim=(2, 3)) / sizes


def component_scores(
    W_OV: Float[Tensor, "read write"], reads: Float[Tensor, "write out"], d_head: int
) -> tuple[Float[Tensor, " component"], Float[Tensor, " component"]]:
    """The components of what a head writes: their singular values, largest first, and the composition score of each.

    A component is one of the d_head tables of rank 1 that the singular value decomposition makes of W_OV. The squared
    score of the whole head is the mean of their squares, weighted by squared singular values (Merullo et al. 2024).
    """
    _, sizes, directions = torch.linalg.svd(W_OV, full_matrices=False)
    scores = (directions[:d_head] @ reads).norm(dim=1) / reads.norm()
    return sizes[:d_head], scores


def advantage(
    scores: Float[Tensor, "batch query key"], length: int
) -> Float[Tensor, " batch"]:  # fmt: skip
    """How far the right key's score lies above the mean over the keys that a query sees.

    On `behaviour.repeated_tokens(..., length, times=2, ...)`: queries are those of the second copy,
    and the right key is what followed the same token in the first. The mean over queries.
    """
    query = torch.arange(length + 1, scores.shape[-1])
    right = scores[:, query, query - length + 1]
    visible = scores.tril().sum(-1)[:, query] / (query + 1)
    return (right - visible).mean(-1)


def by_group(terms: dict[tuple[str, str], Tensor]) -> dict[str, Tensor]:
    """Terms of `attention_score_terms`, or numbers made of them, added up to the paper's four groups.

    "A" is a side that reads an earlier head, "Id" one that reads tokens or positions; the query
    comes first (Elhage et al. 2021, "Two-Layer" models: the terms of C_QK).
    """
    groups = {}
    for parts, term in terms.items():
        name = " ⊗ ".join("A" if ":" in part else "Id" for part in parts)
        groups[name] = groups.get(name, 0) + term
    return groups


@cache
def random_scores(
    d_model: int, n_heads: int, n_ctx: int, d_vocab: int, seeds: int = 5
) -> Float[Tensor, "seed kind write read"]:
    """Composition scores, as Q, K and V, of untrained two-layer models of a shape, seeds 0, 1, …: what chance gives.

    Their squares average to 1/d_model, whatever the rank; how far they spread depends on d_head. (The chance level that
    composition needs in Elhage et al. 2021, "Two-Layer" models.)
    """
    shape = models.config(2, d_model=d_model, n_heads=n_heads, n_ctx=n_ctx, d_vocab=d_vocab)
    untrained = (models.bridge(models.PaperModel(shape, seed)) for seed in range(seeds))
    return torch.stack([torch.stack([composition_scores(each, kind) for kind in "QKV"]) for each in untrained])


@leaves_out(*STREAM, "value_biases", "groups", exact="walkthrough.beyond.frozen_scores:frozen_virtual_head_ratios")
def virtual_head_ratios(
    model, run, R: Float[Tensor, "d_model d_model"] | None = None, layers: tuple[int, int] = (0, 1)
) -> Float[Tensor, "write read"]:
    """How long what each virtual head adds is, in a run, over the length of all that its later head adds.

    Lengths are Frobenius norms over all positions; `run` is what `run_with_cache` returns for one prompt. An orthogonal R
    turns what the earlier head wrote before the later one reads it: lengths and patterns stay, the match of the heads is
    left to chance. Raises ValueError for layers in the wrong order (Elhage et al. 2021, "Virtual Attention Heads").
    """
    earlier, later = layers
    check_pair(model, (earlier, 0), (later, 0))
    wrote = run["z", earlier][0].transpose(0, 1) @ model.W_O[earlier]  # [write pos d_model]
    read = wrote if R is None else wrote @ R
    taken = run["pattern", later][0] @ read[:, None]  # [write read pos d_model]
    moved_on = taken @ model.W_V[later] @ model.W_O[later]
    whole = run["z", later][0].transpose(0, 1) @ model.W_O[later]
    return moved_on.norm(dim=(-2, -1)) / whole.norm(dim=(-2, -1))


def rank_correlation(a: Float[Tensor, "*entry"], b: Float[Tensor, "*entry"]) -> float:
    """Spearman's rank correlation: the correlation coefficient of the places that the entries of a and of b have in order.

    1 for the same order, -1 for the reverse. Equal entries get neighbouring places.
    """
    places = [each.flatten().argsort().argsort().double() for each in (a, b)]
    return torch.corrcoef(torch.stack(places))[0, 1].item()


@leaves_out(
    *STREAM, *SCORING, "value_biases", "logits", exact="walkthrough.beyond.folded_circuits:folded_q_composed_circuit"
)
def q_composed_circuit(model, first: tuple[int, int], second: tuple[int, int]):
    """How much the second head, from queries that the first head built of each token (row), looks for each token (column).

    A FactoredMatrix [d_vocab d_vocab] of rank d_head, in the units that the softmax takes: divided by √d_head. Heads
    are (layer, head). Raises ValueError if there is no such head, or if the first is not in an earlier layer. The
    paper's W_E^T W_OV^T W_QK W_E, the W of the term A ⊗ Id ⊗ W (Elhage et al. 2021, "Two-Layer" models).
    """
    check_pair(model, first, second)
    return model.W_E @ model.OV[first] @ model.QK[second] @ model.W_E.T * model.cfg.d_head**-0.5


@leaves_out(
    *STREAM, *SCORING, "value_biases", "logits", exact="walkthrough.beyond.folded_circuits:folded_k_composed_circuit"
)
def k_composed_circuit(model, first: tuple[int, int], second: tuple[int, int]):
    """How much the second head, from each token (row), looks for keys that the first head built of each token (column).

    A FactoredMatrix [d_vocab d_vocab] of rank d_head, in the units that the softmax takes: divided by √d_head. Heads
    are (layer, head). Raises ValueError if there is no such head, or if the first is not in an earlier layer. The
    paper's W_E^T W_QK W_OV W_E, the W of the term Id ⊗ A ⊗ W (Elhage et al. 2021, "Two-Layer" models).
    """
    check_pair(model, first, second)
    return model.W_E @ model.QK[second] @ model.OV[first].T @ model.W_E.T * model.cfg.d_head**-0.5


@leaves_out(
    *STREAM, "value_biases", "groups", "logits", exact="walkthrough.beyond.folded_circuits:folded_virtual_ov_circuit"
)
def virtual_ov_circuit(model, first: tuple[int, int], second: tuple[int, int]):
    """What each token (row), moved by the first head and then by the second, adds to each output token's logit (column).

    A FactoredMatrix [d_vocab d_vocab] of rank d_head, in logits: the OV circuit of a virtual head. Heads are (layer,
    head). Raises ValueError if there is no such head, or if the first is not in an earlier layer. The transpose of the
    paper's W_U W_OV W_OV W_E (Elhage et al. 2021, "Two-Layer" models).
    """
    check_pair(model, first, second)
    return model.W_E @ model.OV[first] @ model.OV[second] @ model.W_U


@leaves_out(*STREAM, *SCORING, "value_biases", exact="walkthrough.beyond.frozen_scores:frozen_composed_scores")
def composed_scores(
    model, run, kind: str, first: tuple[int, int], second: tuple[int, int]
) -> Float[Tensor, "query key"]:
    """The term of the second head's scores in which its query ("Q") or its key ("K") is what the first head wrote.

    The other side is the token's embedding. Before mask and softmax, divided by √d_head; exactly the term of
    `attention_score_terms`. `run` is what `run_with_cache` returns for one prompt. Raises ValueError for another kind,
    and for pairs that cannot compose (Elhage et al. 2021, "Two-Layer" models: A ⊗ Id ⊗ W and Id ⊗ A ⊗ W).
    """
    if kind not in ("Q", "K"):
        raise ValueError(
            f"{kind!r} is no side of an attention score: a query (Q) or a key (K) can be what a head wrote"
        )
    check_pair(model, first, second)
    W_Q, W_K, _, _ = head_weights(model, *second)
    embed, wrote = run["hook_embed"][0], run["z", first[0]][0, :, first[1]] @ model.W_O[first]
    query, key = (wrote, embed) if kind == "Q" else (embed, wrote)
    return (query @ W_Q) @ (key @ W_K).T / model.cfg.d_head**0.5


def over_the_visible(scores: Float[Tensor, "query key"]) -> Float[Tensor, "query key"]:
    """Scores over their mean on the keys that the query sees, which a softmax does not notice; zero at later keys."""
    seen = torch.arange(1, len(scores) + 1, dtype=scores.dtype)[:, None]
    return (scores - scores.tril().sum(-1, keepdim=True) / seen).tril()


def check_pair(model, first: tuple[int, int], second: tuple[int, int]) -> None:
    """Raise ValueError unless both heads exist and the first is in an earlier layer than the second."""
    check_head(model, *first)
    check_head(model, *second)
    if first[0] >= second[0]:
        raise ValueError(
            f"head {second[0]}:{second[1]} cannot read what {first[0]}:{first[1]} writes: "
            "the first head must be in an earlier layer"
        )
