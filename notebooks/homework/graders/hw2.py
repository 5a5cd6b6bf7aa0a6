"""The tasks of homework 2: what a head reads, what it moves, what of it is linear, and when two heads are one."""

from collections.abc import Callable

import torch
from torch import Tensor

from graders.hw2_same import SAME, pairs_of_heads, tried_out
from graders.hw2_wires import (
    ADD,
    FROZEN,
    PRODUCTS,
    SPLIT,
    STEPS,
    STREAM,
    VOTES,
    WIRES,
    changed_prompts,
    elections,
    fresh_model,
    fresh_tokens,
    lost_without,
    patched,
)  # fmt: skip
from walkthrough import paths
from walkthrough.homework.task import Mistake, Task

# hw2-3 all layers as one matrix


def whole_models(seed: int) -> list[tuple]:
    """Models of two and of three layers, and a short prompt for each."""
    generator = torch.Generator().manual_seed(seed)
    cases = []
    for n_layers, n_pos, d_model, n_heads, d_vocab in [(2, 6, 12, 3, 15), (3, 7, 8, 2, 18)]:
        model_seed = torch.randint(2**31, (), generator=generator).item()
        tokens = fresh_tokens(n_pos, d_vocab, generator)
        cases.append((fresh_model(n_layers, model_seed, d_model, n_heads, d_vocab), tokens))
    return cases


def frozen_columns(model, tokens: Tensor) -> Tensor:
    """The model's own run, patterns frozen, on every stream that is zero but for a single 1."""
    cache = model.run_with_cache(tokens)[1]
    embed, last = cache["hook_embed"], model.cfg.n_layers - 1
    units = torch.eye(embed.numel(), dtype=embed.dtype).view(-1, *embed.shape[1:])
    hooks = paths.freeze([cache["pattern", layer] for layer in range(last + 1)])
    with model.hooks(fwd_hooks=[("hook_embed", lambda old, hook: units), *hooks]):
        ends = model.run_with_cache(tokens.expand(len(units), -1))[1]["resid_post", last]
    return ends.flatten(1).T


def unfrozen(model, tokens: Tensor) -> Tensor:
    """The derivative of the final stream by the embeddings, while the patterns move."""
    last, embed = model.cfg.n_layers - 1, model.run_with_cache(tokens)[1]["hook_embed"]

    def end(x: Tensor) -> Tensor:
        """The final stream when the model reads x in place of its embeddings."""
        kept = []
        keep = (f"blocks.{last}.hook_resid_post", lambda resid, hook: kept.append(resid))
        model.run_with_hooks(tokens, fwd_hooks=[("hook_embed", lambda old, hook: x), keep])
        return kept[0].flatten()

    with torch.enable_grad():
        return torch.autograd.functional.jacobian(end, embed).flatten(1).detach()


def kron(A: Tensor, W: Tensor) -> Tensor:
    """Kronecker product of two matrices, transposed ones too."""
    return torch.kron(A.contiguous(), W.contiguous())


def multiplied(Id: Tensor, layers: list[list[Tensor]]) -> Tensor:
    """The right answer, from a matrix for each head of each layer: the later layer on the left."""
    whole = Id
    for heads in layers:
        whole = (Id + sum(heads)) @ whole
    return whole


def misbuilt(
    block: Callable = kron, combine: Callable = multiplied, wholesale: bool = False, first: bool = False
) -> Callable:
    """A wrong answer to hw2-3: wrong blocks of pattern and (the paper's) W_OV, or blocks combined in a wrong way."""

    def wrong(model, tokens: Tensor) -> Tensor:
        """Blocks of all heads, then their combination."""
        cache, layers = model.run_with_cache(tokens)[1], []
        for layer in range(model.cfg.n_layers):
            A, W = cache["pattern", 0 if first else layer][0], (model.W_V[layer] @ model.W_O[layer]).mT
            layers.append([block(A.sum(0), W.sum(0))] if wholesale else [block(a, w) for a, w in zip(A, W)])
        return combine(torch.eye(len(layers[0][0]), dtype=A.dtype), layers)

    return wrong


def only_chains(Id: Tensor, layers: list[list[Tensor]]) -> Tensor:
    """Paths through a head of each layer."""
    whole = Id
    for heads in layers:
        whole = sum(heads) @ whole
    return whole


def in_series(Id: Tensor, layers: list[list[Tensor]]) -> Tensor:
    """Each head feeds the next of its layer."""
    return multiplied(Id, [[head] for heads in layers for head in heads])


LAYERS = (
    Mistake("your Kronecker factors are in the order for stacked columns: here the rows lie end to end", FROZEN,
            misbuilt(lambda a, w: kron(w, a))),
    Mistake("your blocks hold W_V W_O, which acts on rows: a matrix from the left acts on columns", FROZEN,
            misbuilt(lambda a, w: kron(a, w.T))),
    Mistake("both slips at once: factors in the order for stacked columns, and blocks that act on rows", FROZEN,
            misbuilt(lambda a, w: kron(w.T, a))),
    Mistake("the patterns are transposed: a row of blocks is one query", STEPS,
            misbuilt(lambda a, w: kron(a.T, w))),
    Mistake("your matrix acts from the right: it must act from the left, on a column", FROZEN,
            misbuilt(combine=lambda Id, layers: multiplied(Id, layers).T)),
    Mistake("the residual connection is missing: a layer adds to the stream, it does not replace it", STREAM,
            misbuilt(combine=only_chains)),
    Mistake("the stream can skip all layers or none in your matrix: each layer can be skipped by itself", PRODUCTS,
            misbuilt(combine=lambda Id, layers: Id + only_chains(Id, layers))),
    Mistake("the layers were added, so no head reads an earlier one: virtual heads are missing", PRODUCTS,
            misbuilt(combine=lambda Id, layers: Id + sum(sum(heads) for heads in layers))),
    Mistake("the layers are in the wrong order: what acts first stands on the right", PRODUCTS,
            misbuilt(combine=lambda Id, layers: multiplied(Id, layers[::-1]))),
    Mistake("patterns were added, and W_OVs: then each pattern moves the values of every head", ADD,
            misbuilt(wholesale=True)),
    Mistake("the stream was passed on once for each head: it goes past a layer once", ADD,
            misbuilt(combine=lambda Id, layers: multiplied(Id, [[(len(h) - 1) * Id, *h] for h in layers]))),
    Mistake("heads of one layer feed each other in your matrix: they read the same stream", ADD,
            misbuilt(combine=in_series)),
    Mistake("the heads of a layer were averaged: what they write is added", ADD,
            misbuilt(combine=lambda Id, layers: multiplied(Id, [[sum(h) / len(h)] for h in layers]))),
    Mistake("every layer moves by the patterns of the first: each has its own", STEPS, misbuilt(first=True)),
    Mistake("the path that passes all layers untouched is missing: what the embedding says directly", STREAM,
            misbuilt(combine=lambda Id, layers: multiplied(Id, layers) - Id)),
    Mistake("two layers and no more: how many there are is the model's to say", PRODUCTS,
            misbuilt(combine=lambda Id, layers: multiplied(Id, layers[:2]))),
    Mistake("that is where the first layer ends: all layers were asked", PRODUCTS,
            misbuilt(combine=lambda Id, layers: multiplied(Id, layers[:1]))),
    Mistake("that is the last layer by itself: all layers were asked", PRODUCTS,
            misbuilt(combine=lambda Id, layers: multiplied(Id, layers[-1:]))),
    Mistake("that is the derivative while the patterns move: frozen ones do not depend on the stream", FROZEN,
            unfrozen),
)  # fmt: skip


TASKS: dict[str, Task] = {
    "hw2-1": Task("change_by_wire", 5, SPLIT, changed_prompts, patched, WIRES),
    "hw2-2": Task("votes_by_token", 3, SPLIT, elections, lost_without, VOTES),
    "hw2-3": Task("frozen_matrix", 5, FROZEN, whole_models, frozen_columns, LAYERS),
    "hw2-4": Task("same_head", 3, SPLIT, pairs_of_heads, tried_out, SAME),
}
