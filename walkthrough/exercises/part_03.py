"""The exercises of notebook 03."""

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Exercise
from walkthrough.exercises.frozen import forced, stored_patterns
from walkthrough.exercises.looking import CRASHED, PATTERN_MISTAKES, causal, draws, looking_heads, slow_pattern
from walkthrough.exercises.moving import (
    LAYER_MISTAKES,
    OUTPUT_MISTAKES,
    VIRTUAL_MISTAKES,
    layers,
    pairs_of_heads,
    random_head,
    slow_layer,
    slow_output,
    slow_virtual,
    writing_heads,
)

# 3.4 the loudest source


def sources() -> list[tuple]:
    """Pattern, stream and the paper's W_OV: attention is spread out and lengths vary, so that other measures lose."""
    n_pos, d_model, d_head = 20, 8, 4
    cases = []
    for seed in range(5):
        shapes = (n_pos, n_pos), (n_pos, d_model), (d_model, d_head), (d_head, d_model)
        scores, resid, W_V, W_O = draws(seed, *shapes)
        loudness = 2 * torch.rand(n_pos, 1, generator=torch.Generator().manual_seed(seed))
        cases.append((causal(scores / 2).softmax(-1), loudness * resid, (W_V @ W_O).T.contiguous()))
    return cases


def slow_loudest(pattern: Tensor, resid: Tensor, W_OV: Tensor) -> Tensor:
    """The length of what arrives from each key, one pair at a time."""
    loudest = []
    for query in range(len(pattern)):
        lengths = [(pattern[query, key] * (W_OV @ resid[key])).norm().item() for key in range(len(resid))]
        loudest.append(lengths.index(max(lengths)))
    return torch.tensor(loudest)


def moved(x: Tensor, W_OV: Tensor) -> Tensor:
    """What the head makes of the stream at each key."""
    return x @ W_OV.T


LOUDEST_MISTAKES = {
    "that is the most attended key: multiply the attention to each KEY by the length of what that key sends "
    "(a length for each query changes nothing within a row)":
        lambda a, x, w: a.argmax(-1),
    "the longest vector whatever the attention: multiply each length by the attention paid":
        lambda a, x, w: moved(x, w).norm(dim=-1).expand(len(a), -1).argmax(-1),
    "wrong axis: you chose a query for each key, where a key for each query was asked":
        lambda a, x, w: (a * moved(x, w).norm(dim=-1)).argmax(0),
    "the attention is transposed: rows are queries":
        lambda a, x, w: (a.mT * moved(x, w).norm(dim=-1)).argmax(-1),
    "W_OV is the paper's and acts on columns: on our rows it is resid @ W_OV.T":
        lambda a, x, w: (a * (x @ w).norm(dim=-1)).argmax(-1),
    "that is the length of the stream at each key: the head moves only W_OV of it":
        lambda a, x, w: (a * x.norm(dim=-1)).argmax(-1),
    "that is the sum of the absolute entries (the L1 norm): the length is the root of the sum of squares":
        lambda a, x, w: (a * moved(x, w).abs().sum(-1)).argmax(-1),
    "that is the largest single entry: the length is the root of the sum of squares of all entries":
        lambda a, x, w: (a * moved(x, w).abs().amax(-1)).argmax(-1),
    "that is the largest positive entry: the length is the root of the sum of squares of all entries":
        lambda a, x, w: (a * moved(x, w).amax(-1)).argmax(-1),
    "the entries were added up with their signs: the length is the root of the sum of their squares":
        lambda a, x, w: (a * moved(x, w).sum(-1)).argmax(-1),
    "the length is squared but the attention is not: take the root before you multiply":
        lambda a, x, w: (a * moved(x, w).square().sum(-1)).argmax(-1),
    "those are the lengths: the position of the longest was asked (argmax, not max)":
        lambda a, x, w: (a * moved(x, w).norm(dim=-1)).amax(-1),
    "off by one: did you count <BOS>?":
        lambda a, x, w: (a * moved(x, w).norm(dim=-1))[:, 1:].argmax(-1),
    "<BOS> was left out: it is a key like any other":
        lambda a, x, w: (a * moved(x, w).norm(dim=-1))[:, 1:].argmax(-1) + 1,
}  # fmt: skip


# 3.6 a head as one matrix


def factored_heads() -> list[tuple]:
    """Pattern, W_V and W_O."""
    cases = [random_head(seed, n_pos, 5, 2) for seed, n_pos in enumerate([3, 4])]
    return [(pattern, W_V, W_O) for pattern, _, W_V, W_O in cases]


def slow_matrix(A: Tensor, W_V: Tensor, W_O: Tensor) -> Tensor:
    """Column by column: what the head makes of a stream that is zero but for a single 1."""
    streams = torch.eye(len(A) * len(W_V)).unflatten(1, (len(A), len(W_V)))
    return torch.stack([(A @ x @ W_V @ W_O).reshape(-1) for x in streams], -1)


def grid(A: Tensor, W_V: Tensor, W_O: Tensor, order: str) -> Tensor:
    """A and W_OV multiplied out, with the four axes (q, w)(k, r) in some order."""
    return torch.einsum(f"qk,rh,hw->{order}", A, W_V, W_O)


MATRIX_MISTAKES = {
    "kron(W, A) is for columns stacked under one another: reshape(-1) lays rows end to end":
        lambda a, v, o: torch.kron((v @ o).T.contiguous(), a),
    "W_V @ W_O is the transpose of the paper's W_OV: a matrix that acts from the left needs the paper's":
        lambda a, v, o: torch.kron(a, v @ o),
    "two slips: kron(W, A) is for stacked columns, and W_V @ W_O is the transpose of the paper's W_OV":
        lambda a, v, o: torch.kron(v @ o, a),
    "the pattern is transposed: its rows are queries":
        lambda a, v, o: torch.kron(a.T.contiguous(), (v @ o).T.contiguous()),
    "transposed: the whole matrix must act from the left, on resid.reshape(-1)":
        lambda a, v, o: torch.kron(a.T.contiguous(), v @ o),
    "W_O @ W_V is only d_head × d_head: a head first reads with W_V and then writes with W_O":
        lambda a, v, o: torch.kron(a, (o @ v).T.contiguous()),
    "that is Id ⊗ W_OV, which moves nothing from one position to another: the pattern is missing":
        lambda a, v, o: torch.block_diag(*[(v @ o).T] * len(a)),
    "that is A ⊗ Id, which moves whole vectors: W_OV is missing":
        lambda a, v, o: torch.kron(a, torch.eye(len(v))),
    "reshaped before the axes were in order: query stands with write, key with read":
        lambda a, v, o: grid(a, v, o, "qkwr").reshape(len(a) * len(v), -1),
    "four axes: join query with write for the rows, and key with read for the columns":
        lambda a, v, o: grid(a, v, o, "qwkr"),
    "four axes: bring query beside write and key beside read, then join each pair":
        lambda a, v, o: grid(a, v, o, "qkwr"),
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "3.1": Exercise(
        looking_heads, slow_pattern, PATTERN_MISTAKES, crashes={"tensor a (6) must match the size of tensor b (9)": CRASHED}
    ),
    "3.2": Exercise(writing_heads, slow_output, OUTPUT_MISTAKES),
    "3.3": Exercise(layers, slow_layer, LAYER_MISTAKES),
    "3.4": Exercise(sources, slow_loudest, LOUDEST_MISTAKES),
    "3.5": Exercise(stored_patterns, judge=forced),
    "3.6": Exercise(factored_heads, slow_matrix, MATRIX_MISTAKES),
    "3.7": Exercise(pairs_of_heads, slow_virtual, VIRTUAL_MISTAKES),
}  # fmt: skip
