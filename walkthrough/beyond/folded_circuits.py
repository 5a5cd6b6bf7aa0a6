"""Circuits of any decoder from its weights: gains of norms folded in, keys and values of the head's group, and rotation.

Weights know no run, so two things are set here that a run would decide. A token's embedding is divided by its own scale,
as in a stream that holds nothing else; which is what layer 0 reads, if positions are rotated. Whatever is read after that,
by a later head or by W_U, is read at scale 1, which changes the size of a row's entries and nothing else.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens import FactoredMatrix

from walkthrough.beyond.frozen_scores import rotated, score_scale
from walkthrough.beyond.frozen_weights import check_known, grouped_head, norm_before
from walkthrough.interventions import Head
from walkthrough.two_layers.composition import check_pair


def embedded(model, layer: int) -> Float[Tensor, "d_vocab d_model"]:
    """What a layer's norm makes of each token's embedding, if the stream holds nothing else: without the norm's bias."""
    norm, x = norm_before(model, layer), model.W_E
    return norm.linear(x, norm.scale(x))


def unembedding(model) -> Float[Tensor, "d_model d_vocab"]:
    """W_U with the final norm folded in: what the stream is multiplied by for logits, at scale 1 and without biases."""
    return behind(model, model.cfg.n_layers, model.W_U)


def read_by(model, head: Head, which: str) -> Float[Tensor, "d_model d_head"]:
    """A head's W_Q, W_K or W_V ("Q", "K" or "V") with the norm before it folded in: what reads the stream at scale 1."""
    return behind(model, head[0], getattr(grouped_head(model, *head), f"W_{which}"))


def behind(
    model, layer: int, W: Float[Tensor, "*head d_model out"]
) -> Float[Tensor, "*head d_model out"]:  # fmt: skip
    """A matrix that reads what a layer's norm makes of the stream, as one that reads the stream itself, at scale 1."""
    norm = norm_before(model, layer)
    return norm.centred((norm.gain[:, None] * W).mT).mT


def turned(model, x: Float[Tensor, "token d_head"], distance: int) -> Float[Tensor, "token d_head"]:
    """Queries as they meet keys that are `distance` positions before them; as they are, in a model without rotation."""
    if model.cfg.positional_embedding_type != "rotary":
        return x
    cos, sin = model.rotary_emb.original_component(x[None], torch.tensor([[distance]]))
    return rotated(x[:, None], cos[0].to(x), sin[0].to(x))[:, 0]


def check_distance(model, distance: int) -> None:
    """Raise ValueError for a key ahead of its query, or further back than the context reaches."""
    if not 0 <= distance < model.cfg.n_ctx:
        raise ValueError(f"a key is 0 to {model.cfg.n_ctx - 1} positions before its query, not {distance}")


def folded_qk_circuit(model, layer: int, head: int, distance: int = 0) -> FactoredMatrix:
    """`circuits.qk_circuit` of any decoder: how much each token (row) looks for each token (column) so far before it.

    Biases, the norm's too, are in it, and positions in the stream are not. For layer 0 of a model with rotary positions
    the entries are its scores. A FactoredMatrix [d_vocab d_vocab] of rank d_head: nothing of that size is ever made.
    Raises ValueError if there is no such head, or no such distance.
    """
    of_head, norm = grouped_head(model, layer, head), norm_before(model, layer)
    check_known(model, "distances", "scores", "writes", "between")
    check_distance(model, distance)
    tokens = embedded(model, layer) + norm.bias
    queries = turned(model, tokens @ of_head.W_Q + of_head.b_Q, distance)
    keys = turned(model, tokens @ of_head.W_K + of_head.b_K, 0)  # by nothing; some models change lengths, too
    return FactoredMatrix(queries * score_scale(model, layer), keys.T.contiguous())


def folded_ov_circuit(model, layer: int, head: int) -> FactoredMatrix:
    """`circuits.ov_circuit` of any decoder: what each token (row), once it is looked at, adds to each logit (column).

    At a final scale of 1: a run divides by that of its last stream. Without biases, which add the same to every row. A
    FactoredMatrix [d_vocab d_vocab] of rank d_head. Raises ValueError if there is no such head.
    """
    of_head = grouped_head(model, layer, head)
    check_known(model, "writes", "between", "logits")
    return FactoredMatrix(embedded(model, layer) @ of_head.W_V, of_head.W_O @ unembedding(model))


def folded_q_composed_circuit(model, first: Head, second: Head, distance: int = 0) -> FactoredMatrix:
    """`composition.q_composed_circuit` of any decoder: queries that the first head built of each token (row) look for keys.

    Keys (columns) are embeddings, `distance` positions before the query. Without biases.
    """
    return _composed(model, first, second, distance, "Q")


def folded_k_composed_circuit(model, first: Head, second: Head, distance: int = 0) -> FactoredMatrix:
    """`composition.k_composed_circuit` of any decoder: tokens (rows) look for keys that the first head built (columns).

    Keys are `distance` positions before the query; what the first head moved came from anywhere. Without biases.
    """
    return _composed(model, first, second, distance, "K")


def _composed(model, first: Head, second: Head, distance: int, built: str) -> FactoredMatrix:
    """Scores of the second head at scale 1, one side of which (`built`, "Q" or "K") the first head wrote of each token."""
    check_pair(model, first, second)
    check_known(model, "distances", "scores", "writes", "between")
    check_distance(model, distance)
    of_first, of_second, other = grouped_head(model, *first), grouped_head(model, *second), "QK".replace(built, "")
    sides = {
        built: (embedded(model, first[0]) @ of_first.W_V) @ (of_first.W_O @ read_by(model, second, built)),
        other: embedded(model, second[0]) @ getattr(of_second, f"W_{other}"),
    }
    queries, keys = turned(model, sides["Q"], distance), turned(model, sides["K"], 0)
    return FactoredMatrix(queries * score_scale(model, second[0]), keys.T.contiguous())


def folded_virtual_ov_circuit(model, first: Head, second: Head) -> FactoredMatrix:
    """`composition.virtual_ov_circuit` of any decoder: each token (row), moved by two heads, in the logits (columns)."""
    check_pair(model, first, second)
    check_known(model, "writes", "between", "logits")
    of_first, of_second = grouped_head(model, *first), grouped_head(model, *second)
    middle = of_first.W_O @ read_by(model, second, "V")
    return FactoredMatrix(embedded(model, first[0]) @ of_first.W_V @ middle, of_second.W_O @ unembedding(model))


def folded_composition_scores(
    model, kind: str, layers: tuple[int, int] = (0, 1)
) -> Float[Tensor, "write read"]:  # fmt: skip
    """`composition.composition_scores` of any decoder: matrices that read the stream have the norm's gain folded in.

    Rotation is left out: the scores are those of two positions side by side. A product of factors of rank d_head is
    measured by its small middle, so that no d_model x d_model matrix is made. Raises ValueError as the other does.
    """
    if kind not in ("Q", "K", "V"):
        raise ValueError(f"there is no {kind!r}-composition: heads read what others wrote as Q, K, V")
    earlier, later = layers
    check_pair(model, (earlier, 0), (later, 0))
    check_known(model, "writes", "between", *["distances", "scores"] * (kind != "V"))
    heads = [(later, head) for head in range(model.cfg.n_heads)]
    A, B = zip(*((read_by(model, (earlier, h), "V"), grouped_head(model, earlier, h).W_O) for _, h in heads))
    C = [read_by(model, head, kind) for head in heads]
    if kind == "V":
        D = [grouped_head(model, *head).W_O for head in heads]
    else:
        D = [read_by(model, head, "K" if kind == "Q" else "Q").T for head in heads]
    return _scores(*map(torch.stack, (A, B, C, D)))


def _scores(
    A: Float[Tensor, "write d_model d_head"], B: Float[Tensor, "write d_head d_model"],
    C: Float[Tensor, "read d_model d_head"], D: Float[Tensor, "read d_head d_model"],
) -> Float[Tensor, "write read"]:  # fmt: skip
    """‖A B C D‖ over ‖A B‖ ‖C D‖: the triangles of A's and D's QR decompositions have their lengths, and are small."""
    writes, reads = torch.linalg.qr(A).R @ B, C @ torch.linalg.qr(D.mT).R.mT
    sizes = writes.norm(dim=(1, 2))[:, None] * reads.norm(dim=(1, 2))
    return (writes[:, None] @ reads).norm(dim=(2, 3)) / sizes


def chance_scores(model, layers: tuple[int, int] = (0, 1), seeds: int = 5) -> Float[Tensor, "seed kind write read"]:
    """`folded_composition_scores`, as Q, K and V, of heads with random weights of the same shape, behind the same gains.

    What chance gives: every weight is normal and independent, and nothing but the norms' gains is the model's. Their
    squares average to 1/d_model, as without gains.
    """
    scores, shape = [], model.blocks[0].attn.W_Q.shape
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        V, Q, K, later_V, W_O, later_W_O = torch.randn(6, *shape, generator=generator, dtype=model.W_E.dtype)
        V, Q, K, later_V = behind(model, layers[0], V), *(behind(model, layers[1], W) for W in (Q, K, later_V))
        for C, D in ((Q, K.mT), (K, Q.mT), (later_V, later_W_O.mT)):
            scores.append(_scores(V, W_O.mT, C, D))
    return torch.stack(scores).unflatten(0, (seeds, 3))
