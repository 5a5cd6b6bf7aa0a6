"""Checks of sums over paths: all paths up to an order."""

import itertools

import torch
from torch import Tensor

# 10.3 all paths up to an order


def stacks() -> list[tuple]:
    """An order, an embedding, then patterns, W_V, W_O and W_U of models of several depths, some less deep than the order."""
    cases = []
    shapes = [(0, 3, 2), (1, 3, 2), (2, 3, 2), (3, 3, 2), (2, 4, 1), (4, 5, 1), (3, 2, 3)]
    for seed, (order, n_layers, n_heads) in enumerate(shapes):
        generator = torch.Generator().manual_seed(seed)
        draw = lambda *shape, g=generator: torch.randn(*shape, generator=g)
        future = torch.ones(5, 5).triu(1).bool()
        patterns = (2 * draw(n_layers, n_heads, 5, 5)).masked_fill(future, -torch.inf).softmax(-1)
        weights = 0.6 * draw(n_layers, n_heads, 6, 3), 0.6 * draw(n_layers, n_heads, 3, 6), draw(6, 7)
        cases.append((order, draw(5, 6), patterns, *weights))
    return cases


def summed_paths(wanted, order, embed, patterns, W_V, W_O, W_U) -> Tensor:
    """Logits of the paths through `wanted(order, layers)`, where `layers` is the rising tuple of a path's layers."""
    n_layers, n_heads = patterns.shape[:2]
    total = torch.zeros_like(embed)
    for length in range(n_layers + 1):
        for layers in itertools.combinations(range(n_layers), length):
            for heads in itertools.product(range(n_heads), repeat=length):
                if wanted(order, layers):
                    resid = embed
                    for layer, head in zip(layers, heads):
                        resid = patterns[layer, head] @ resid @ W_V[layer, head] @ W_O[layer, head]
                    total = total + resid
    return total @ W_U


def slow_upto(*case) -> Tensor:
    """Every path by itself, and the sum of those that are short enough."""
    return summed_paths(lambda order, layers: len(layers) <= order, *case)


def round_by_round(order, embed, patterns, W_V, W_O, W_U) -> Tensor:
    """What comes of letting all heads read the same stream, `order` times: heads also read their own layer."""
    resid = embed
    for _ in range(order):
        every = [p @ resid @ v @ o for p, v, o in zip(patterns.flatten(0, 1), W_V.flatten(0, 1), W_O.flatten(0, 1))]
        resid = embed + sum(every)
    return resid @ W_U


UPTO_MISTAKES = {
    "only the paths of exactly this order: add the shorter ones":
        lambda *case: summed_paths(lambda order, layers: len(layers) == order, *case),
    "two heads at most, whatever the order: in a deeper model go on, one round of passing on for each order":
        lambda *case: summed_paths(lambda order, layers: len(layers) <= min(order, 2), *case),
    "one head at most, whatever the order: what heads gave has to be passed on to later layers":
        lambda *case: summed_paths(lambda order, layers: len(layers) <= min(order, 1), *case),
    "the direct path is missing: order 0 belongs to every sum":
        lambda *case: summed_paths(lambda order, layers: 0 < len(layers) <= order, *case),
    "that is the whole model: longer paths are in the sum, because heads read all that earlier layers wrote":
        lambda *case: summed_paths(lambda order, layers: True, *case),
    "paths may skip layers: a head reads every earlier layer, not only the one just before":
        lambda *case: summed_paths(
            lambda order, layers: len(layers) <= order and all(b == a + 1 for a, b in itertools.pairwise(layers)), *case
        ),
    "those are the paths of the first layers only: order counts the heads on a path, not layers":
        lambda *case: summed_paths(lambda order, layers: all(layer < order for layer in layers), *case),
    "one order too many: order counts the heads on a path, and the direct path has order 0":
        lambda *case: summed_paths(lambda order, layers: len(layers) <= order + 1, *case),
    "one order too few: order counts the heads on a path, and the direct path has order 0":
        lambda *case: summed_paths(lambda order, layers: len(layers) < order, *case),
    "heads read their own layer and later ones: a head reads earlier layers only":
        round_by_round,
    "layers in reverse: the path meets the first layer first":
        lambda n, x, a, v, o, u: slow_upto(n, x, a.flip(0), v.flip(0), o.flip(0), u),
    "patterns are transposed: their rows are queries":
        lambda n, x, a, v, o, u: slow_upto(n, x, a.mT, v, o, u),
    "no unembedding: logits are the stream times W_U":
        lambda n, x, a, v, o, u: slow_upto(n, x, a, v, o, torch.eye(x.shape[-1])),
}  # fmt: skip
