"""The exercises of notebook 07."""

import math

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Exercise
from walkthrough.exercises.limits import WIDE, small_only, wide
from walkthrough.exercises.reading import (
    EXCESS_MISTAKES,
    SCORE_MISTAKES,
    models_and_kinds,
    noise,
    pairs_of_matrices,
    slow_excess,
    slow_scores,
)


def causal_patterns(seed: int, *shape: int) -> Tensor:
    """Random attention patterns: rows sum to 1, and nothing looks ahead."""
    scores = 2 * noise(seed, shape)[0]
    return scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -math.inf).softmax(-1)


# 7.3 the norm of a product of low rank, through small matrices


def four_factors() -> list[tuple[Tensor, ...]]:
    """W_V and W_O of an earlier head, W_K and W_Q of a later one, as TransformerLens has them."""
    return [
        tuple(noise(seed, (d_model, d_head), (d_head, d_model), (d_model, d_head), (d_model, d_head)))
        for seed, (d_model, d_head) in enumerate([(8, 3), (11, 2), (30, 4)])
    ]


def slow_product_norm(W_V: Tensor, W_O: Tensor, W_K: Tensor, W_Q: Tensor) -> float:
    """The whole d_model × d_model product, and its Frobenius norm."""
    return (W_V.double() @ W_O.double() @ W_K.double() @ W_Q.double().T).norm().item()


def squared_norm(W_V: Tensor, W_O: Tensor, W_K: Tensor, W_Q: Tensor) -> Tensor:
    """The square of the right answer, by the trace of small matrices."""
    middle = W_O @ W_K
    return torch.trace(W_V.T @ W_V @ middle @ W_Q.T @ W_Q @ middle.T)


NORM_MISTAKES = {
    "still the norm of W_Qᵀ W_V W_O W_K: a factor may walk round the circle in a trace, but not in a norm":
        lambda v, o, k, q: ((q.T @ v) @ (o @ k)).norm(),
    "the norm of W_O W_K W_Qᵀ W_V: a factor may walk round the circle in a trace, but not in a norm":
        lambda v, o, k, q: ((o @ k) @ (q.T @ v)).norm(),
    "the square root is missing: the trace is the norm squared":
        lambda *factors: squared_norm(*factors),
    "that is the root of the product's own trace: ‖X‖² is the trace of XᵀX, not of X":
        lambda v, o, k, q: torch.trace(q.T @ v @ o @ k).abs().sqrt(),
    "that is the trace of the product: ‖X‖² is the trace of XᵀX, not of X":
        lambda v, o, k, q: torch.trace(q.T @ v @ o @ k),
    "only the middle, ‖W_O W_K‖: W_V and W_Q stretch it further":
        lambda v, o, k, q: (o @ k).norm(),
    "the norms were multiplied: the norm of a product is not the product of norms":
        lambda v, o, k, q: (v.T @ v).trace().sqrt() * (o @ k).norm() * (q.T @ q).trace().sqrt(),
    "W_Q and W_K are swapped: this is Q-composition, K-composition lets the key read what was written":
        lambda v, o, k, q: squared_norm(v, o, q, k).sqrt(),
}  # fmt: skip
TOO_LARGE = "right, but a d_model × d_model matrix was formed on the way: multiply so that each product has d_head rows or columns"
NO_TABLE = small_only(TOO_LARGE, wide(WIDE, 1), wide(1, WIDE), wide(WIDE, 1), wide(WIDE, 1))


# 7.4 the K-composed term of a score, on a prompt


def prompts() -> list[tuple[Tensor, ...]]:
    """Embedded tokens, the earlier head's pattern, its W_V and W_O, and the later head's W_Q and W_K."""
    cases = []
    for seed, (n_pos, d_model, d_head) in enumerate([(6, 9, 3), (5, 7, 2)]):
        shapes = (n_pos, d_model), (d_model, d_head), (d_head, d_model), (d_model, d_head), (d_model, d_head)
        embed, *weights = noise(seed, *shapes)
        cases.append((embed, causal_patterns(seed, n_pos, n_pos), *weights))
    return cases


def slow_k_term(embed: Tensor, A: Tensor, W_V: Tensor, W_O: Tensor, W_Q: Tensor, W_K: Tensor) -> Tensor:
    """One query, one key and one token that the key's position looked at, at a time."""
    n_pos, scores = len(embed), torch.zeros(len(embed), len(embed))
    for query in range(n_pos):
        for key in range(n_pos):
            for source in range(n_pos):
                moved = A[key, source] * (embed[source] @ W_V @ W_O)
                scores[query, key] += (embed[query] @ W_Q) @ (moved @ W_K) / math.sqrt(W_Q.shape[1])
    return scores


def k_term(embed: Tensor, A: Tensor, W_V: Tensor, W_O: Tensor, W_Q: Tensor, W_K: Tensor) -> Tensor:
    """The same at once: the query reads tokens, the key reads what the pattern brought."""
    return (embed @ W_Q) @ (A @ embed @ W_V @ W_O @ W_K).T / math.sqrt(W_Q.shape[1])


def masked(scores: Tensor, value: float) -> Tensor:
    """Scores with this value at all later keys."""
    return scores.masked_fill(torch.ones_like(scores).triu(1).bool(), value)


K_TERM_MISTAKES = {
    "the pattern is transposed: row `key` of A says where the key's position looked":
        lambda x, a, v, o, q, k: k_term(x, a.T, v, o, q, k),
    "the pattern was applied to the query: in K-composition it is the key that was built by the earlier head":
        lambda x, a, v, o, q, k: a @ k_term(x, torch.eye(len(x)), v, o, q, k),
    "that is Q-composition, A ⊗ Id ⊗ W: there the query reads what was moved, here the key does":
        lambda x, a, v, o, q, k: k_term(x, a, v, o, k, q).T,
    "W_Q and W_K are swapped: the query reads with W_Q and the key with W_K":
        lambda x, a, v, o, q, k: k_term(x, a, v, o, k, q),
    "transposed: rows are queries and columns are keys":
        lambda x, a, v, o, q, k: k_term(x, a, v, o, q, k).T,
    "missing the 1/√d_head":
        lambda x, a, v, o, q, k: k_term(x, a, v, o, q, k) * math.sqrt(q.shape[1]),
    "divided by d_head: scores are divided by its square root":
        lambda x, a, v, o, q, k: k_term(x, a, v, o, q, k) / math.sqrt(q.shape[1]),
    "divided by √d_model: the scale is √d_head, for q and k have d_head entries":
        lambda x, a, v, o, q, k: k_term(x, a, v, o, q, k) * math.sqrt(q.shape[1] / q.shape[0]),
    "the pattern is missing: that is Id ⊗ Id ⊗ W, as if the earlier head looked at its own position":
        lambda x, a, v, o, q, k: k_term(x, torch.eye(len(x)), v, o, q, k),
    "the query reads what the head moved too: that is A ⊗ A ⊗ W, another term":
        lambda x, a, v, o, q, k: a @ k_term(x, a, v, o, v @ o @ q, k),
    "the key reads its own token as well: only what the earlier head brought was asked":
        lambda x, a, v, o, q, k: k_term(x, a, v, o, q, k) + (x @ q) @ (x @ k).T / math.sqrt(q.shape[1]),
    "masked: the term of every query and key is asked, before the mask":
        lambda x, a, v, o, q, k: masked(k_term(x, a, v, o, q, k), -math.inf),
    "the later keys were set to zero: the term of every query and key is asked, before the mask":
        lambda x, a, v, o, q, k: k_term(x, a, v, o, q, k).tril(),
    "that is a pattern: the softmax comes after all terms are added up":
        lambda x, a, v, o, q, k: masked(k_term(x, a, v, o, q, k), -math.inf).softmax(-1),
    "that is a softmax of the term: the softmax comes after all terms are added up":
        lambda x, a, v, o, q, k: k_term(x, a, v, o, q, k).softmax(-1),
    "off by one: did you count <BOS>? It is a key like any other":
        lambda x, a, v, o, q, k: k_term(x, a, v, o, q, k).roll(-1, 1),
}  # fmt: skip


# 7.5 a virtual head of any length


def chains() -> list[tuple[Tensor, ...]]:
    """Embedded tokens, then patterns, W_V and W_O of one head from each layer, earliest first, and W_U."""
    cases = []
    for seed, (n_heads, n_pos, d_model, d_head) in enumerate([(3, 5, 7, 2), (2, 4, 6, 3), (4, 6, 5, 2)]):
        shapes = (n_pos, d_model), (n_heads, d_model, d_head), (n_heads, d_head, d_model), (d_model, 11)
        embed, W_V, W_O, W_U = noise(seed, *shapes)
        cases.append((embed, causal_patterns(seed, n_heads, n_pos, n_pos), W_V, W_O, W_U))
    return cases


def slow_chain(embed: Tensor, patterns: Tensor, W_V: Tensor, W_O: Tensor, W_U: Tensor) -> Tensor:
    """Head after head, each moving only what the one before it wrote."""
    moved = embed
    for A, into, out in zip(patterns, W_V, W_O):
        values = [token @ into @ out for token in moved]
        moved = torch.stack([sum(share * value for share, value in zip(row, values)) for row in A])
    return moved @ W_U


def chain(x: Tensor, patterns: Tensor, W_V: Tensor, W_O: Tensor, keep: float = 0.0) -> Tensor:
    """Each head moves what it reads, and keeps this share of it."""
    for A, into, out in zip(patterns, W_V, W_O):
        x = keep * x + A @ x @ into @ out
    return x


CHAIN_MISTAKES = {
    "the patterns are in the wrong order: the last head's stands leftmost, A₃ A₂ A₁":
        lambda x, a, v, o, u: chain(x, a.flip(0), v, o) @ u,
    "W_V and W_O are in the wrong order: on rows the first head's come first":
        lambda x, a, v, o, u: chain(x, a, v.flip(0), o.flip(0)) @ u,
    "the heads are in the wrong order: each reads what the one before it wrote":
        lambda x, a, v, o, u: chain(x, a.flip(0), v.flip(0), o.flip(0)) @ u,
    "the patterns are transposed: rows are queries":
        lambda x, a, v, o, u: chain(x, a.mT, v, o) @ u,
    "each head read the whole stream: that adds up every path, and only the one through all heads was asked":
        lambda x, a, v, o, u: chain(x, a, v, o, 1.0) @ u,
    "the heads were added: those are the paths through one head each":
        lambda x, a, v, o, u: (a @ x @ v @ o).sum(0) @ u,
    "the patterns were multiplied entry by entry: attention through a middle position is a matrix product":
        lambda x, a, v, o, u: a.prod(0) @ chain(x, torch.eye(len(x)).expand_as(a), v, o) @ u,
    "the patterns are missing: each head moves between positions as well":
        lambda x, a, v, o, u: chain(x, torch.eye(len(x)).expand_as(a), v, o) @ u,
    "that is what is written into the stream: multiply by W_U for logits":
        lambda x, a, v, o, u: chain(x, a, v, o),
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "7.1": Exercise(models_and_kinds, slow_scores, SCORE_MISTAKES),
    "7.2": Exercise(pairs_of_matrices, slow_excess, EXCESS_MISTAKES),
    "7.3": Exercise(four_factors, slow_product_norm, NORM_MISTAKES, limit=NO_TABLE),
    "7.4": Exercise(prompts, slow_k_term, K_TERM_MISTAKES),
    "7.5": Exercise(chains, slow_chain, CHAIN_MISTAKES),
}
