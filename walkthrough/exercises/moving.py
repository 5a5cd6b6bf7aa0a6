"""Exercises 3.2, 3.3 and 3.7: what a head adds to the stream, what a layer adds, and what a virtual head adds."""

import torch
from torch import Tensor

from walkthrough.exercises.looking import causal, draws


def random_head(seed: int, n_pos: int, d_model: int, d_head: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A causal pattern, a stream, W_V and W_O, all random and without symmetries."""
    shapes = (n_pos, n_pos), (n_pos, d_model), (d_model, d_head), (d_head, d_model)
    scores, *others = draws(seed, *shapes)
    return causal(2 * scores).softmax(-1), *others


# 3.2 what a head adds


def writing_heads() -> list[tuple]:
    """Pattern, stream, W_V and W_O."""
    return [random_head(seed, n_pos, 7, 3) for seed, n_pos in enumerate([6, 4])]


def slow_output(pattern: Tensor, resid: Tensor, W_V: Tensor, W_O: Tensor) -> Tensor:
    """One query and one key at a time."""
    output = torch.zeros(len(pattern), W_O.shape[-1])
    for query in range(len(pattern)):
        for key in range(len(resid)):
            output[query] += pattern[query, key] * (resid[key] @ W_V @ W_O)
    return output


OUTPUT_MISTAKES = {
    "the pattern is missing: each query takes an average of the values, weighted by its row":
        lambda a, x, v, o: x @ v @ o,
    "the pattern is transposed: its rows are queries, so it stands on the left, pattern @ values":
        lambda a, x, v, o: a.mT @ x @ v @ o,
    "those are the averages z: W_O must still write them into the stream":
        lambda a, x, v, o: a @ x @ v,
    "those are the values: average them by the pattern, and write with W_O":
        lambda a, x, v, o: x @ v,
    "that is the average of the stream: a head moves only what W_V reads and W_O writes":
        lambda a, x, v, o: a @ x,
    "the stream itself is included: return only what the head adds to it":
        lambda a, x, v, o: x + a @ x @ v @ o,
    "W_V and W_O are transposed: our vectors are rows, so resid @ W_V comes first, then @ W_O":
        lambda a, x, v, o: a @ x @ o.mT @ v.mT,
    "a second softmax: the rows of the pattern sum to 1 already":
        lambda a, x, v, o: a.softmax(-1) @ x @ v @ o,
    "only the most attended key was moved: every key counts, by its share of attention":
        lambda a, x, v, o: (x @ v @ o)[a.argmax(-1)],
}  # fmt: skip


# 3.3 heads add up


def layers() -> list[tuple]:
    """Patterns of all heads of a layer, the stream, W_V and W_O."""
    cases = []
    for seed, (n_heads, n_pos, d_model, d_head) in enumerate([(3, 5, 8, 2), (2, 4, 7, 3)]):
        heads = [random_head(10 * seed + head, n_pos, d_model, d_head) for head in range(n_heads)]
        patterns, streams, values, outputs = zip(*heads)
        cases.append((torch.stack(patterns), streams[0], torch.stack(values), torch.stack(outputs)))
    return cases


def slow_layer(pattern: Tensor, resid: Tensor, W_V: Tensor, W_O: Tensor) -> Tensor:
    """Head after head."""
    total = torch.zeros_like(resid)
    for head in range(len(pattern)):
        total += slow_output(pattern[head], resid, W_V[head], W_O[head])
    return total


def each_head(pattern: Tensor, resid: Tensor, W_V: Tensor, W_O: Tensor) -> Tensor:
    """What each head adds, [head query d_model]."""
    return pattern @ resid @ W_V @ W_O


def chained(pattern: Tensor, resid: Tensor, W_V: Tensor, W_O: Tensor) -> Tensor:
    """What the layer would add if each head read what the ones before it wrote."""
    stream = resid
    for head in range(len(pattern)):
        stream = stream + pattern[head] @ stream @ W_V[head] @ W_O[head]
    return stream - resid


def misaligned(pattern: Tensor, resid: Tensor, W_V: Tensor, W_O: Tensor) -> Tensor:
    """The averages laid end to end head by head, and W_O stacked in another order."""
    z = pattern @ resid @ W_V  # [head query d_head]
    return z.transpose(0, 1).flatten(1) @ W_O.transpose(0, 1).flatten(0, 1)


LAYER_MISTAKES = {
    "averaged over the heads: they add up, so take the sum":
        lambda *case: each_head(*case).mean(0),
    "one output for each head: add them up":
        lambda *case: each_head(*case),
    "only the first head: every head of the layer adds its output":
        lambda *case: each_head(*case)[0],
    "only the last head: add to the total in the loop, where you replace it":
        lambda *case: each_head(*case)[-1],
    "the stream itself is included: return only what the layer adds to it":
        lambda *case: case[1] + each_head(*case).sum(0),
    "the stream was added once for each head: return only what the heads add to it":
        lambda *case: len(case[0]) * case[1] + each_head(*case).sum(0),
    "the heads were put in a chain: those of one layer all read the same stream":
        chained,
    "the weights were added up before they were used: that mixes one head's W_V with another's W_O":
        lambda a, x, v, o: (a @ x @ v.sum(0) @ o.sum(0)).sum(0),
    "patterns and weights were added up apart: that gives each head the patterns of all":
        lambda a, x, v, o: a.sum(0) @ x @ (v @ o).sum(0),
    "z and W_O are laid end to end in different orders: both head by head, [(head d_head)]":
        misaligned,
    "the patterns are transposed: their rows are queries":
        lambda a, x, v, o: each_head(a.mT, x, v, o).sum(0),
    "the patterns are missing: each head takes averages of its values":
        lambda a, x, v, o: (x @ v @ o).sum(0),
}  # fmt: skip


# 3.7 a virtual head


def pairs_of_heads() -> list[tuple]:
    """A stream, then pattern, W_V and W_O of an earlier and of a later head."""
    cases = []
    for seed in range(2):
        A1, resid, *first = random_head(seed, 6, 7, 3)
        A2, _, *second = random_head(seed + 10, 6, 7, 3)
        cases.append((resid, A1, *first, A2, *second))
    return cases


def slow_virtual(
    resid: Tensor, A1: Tensor, W_V1: Tensor, W_O1: Tensor, A2: Tensor, W_V2: Tensor, W_O2: Tensor
) -> Tensor:
    """The sum over every path from key to middle to query."""
    output = torch.zeros_like(resid)
    for query in range(len(resid)):
        for middle in range(len(resid)):
            for key in range(len(resid)):
                written = A1[middle, key] * (resid[key] @ W_V1 @ W_O1)
                output[query] += A2[query, middle] * (written @ W_V2 @ W_O2)
    return output


VIRTUAL_MISTAKES = {
    "patterns in the wrong order: the later head is on the left, A2 @ A1":
        lambda x, a, v, o, a2, v2, o2: a @ a2 @ x @ v @ o @ v2 @ o2,
    "OV maps in the wrong order: rows meet the earlier head first, resid @ W_V1 @ W_O1 @ W_V2 @ W_O2":
        lambda x, a, v, o, a2, v2, o2: a2 @ a @ x @ v2 @ o2 @ v @ o,
    "the heads are swapped: the later head reads what the earlier one wrote":
        lambda x, a, v, o, a2, v2, o2: a @ a2 @ x @ v2 @ o2 @ v @ o,
    "the two outputs were added: a virtual head is one head applied to the other's output":
        lambda x, a, v, o, a2, v2, o2: a @ x @ v @ o + a2 @ x @ v2 @ o2,
    "patterns multiplied entry by entry: attention from query to middle to key is the matrix product A2 @ A1":
        lambda x, a, v, o, a2, v2, o2: (a2 * a) @ x @ v @ o @ v2 @ o2,
    "that includes what the later head moves by itself: only what it takes from the earlier one was asked":
        lambda x, a, v, o, a2, v2, o2: a2 @ (x + a @ x @ v @ o) @ v2 @ o2,
    "pattern of the earlier head forgotten: it moves between positions as well":
        lambda x, a, v, o, a2, v2, o2: a2 @ x @ v @ o @ v2 @ o2,
    "pattern of the later head forgotten: it moves between positions as well":
        lambda x, a, v, o, a2, v2, o2: a @ x @ v @ o @ v2 @ o2,
    "that is what the earlier head writes: the later one must still read it":
        lambda x, a, v, o, a2, v2, o2: a @ x @ v @ o,
    "that is what the later head moves by itself: it must read the earlier one's output in place of the stream":
        lambda x, a, v, o, a2, v2, o2: a2 @ x @ v2 @ o2,
    "the OV maps are transposed: on our rows, W_V comes first and then W_O":
        lambda x, a, v, o, a2, v2, o2: a2 @ a @ x @ (v @ o @ v2 @ o2).mT,
}  # fmt: skip
