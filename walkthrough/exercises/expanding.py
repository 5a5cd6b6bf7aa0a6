"""The judge of exercise 4.1: are these the model's logits, path by path, and under the right names?"""

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor

Terms = dict[str, Tensor]
ARROW = " → "
GROWING = (
    "new paths went into the dict that a loop was going through: loop over list(streams.items()) of before the layer"
)


def small_models() -> list[tuple]:
    """A model of one layer and one of two, each with two prompts."""
    from walkthrough import models

    generator = torch.Generator().manual_seed(5)
    tokens = [torch.randint(1, 64, (2, n_pos), generator=generator) for n_pos in (5, 4)]
    return [(models.tiny(n_layers, seed=n_layers), ids) for n_layers, ids in zip((1, 2), tokens)]


def patterns(model, tokens: Tensor) -> list[Tensor]:
    """The attention patterns of the model's own run, layer by layer."""
    cache = model.run_with_cache(tokens)[1]
    return [cache[f"blocks.{layer}.attn.hook_pattern"] for layer in range(model.cfg.n_layers)]


def each_path(model, tokens: Tensor, change: Callable[[Tensor], Tensor] = lambda pattern: pattern) -> Terms:
    """Every way to take part in some layers and to skip the others, by whole products of matrices."""
    all_patterns, terms = patterns(model, tokens), {}
    heads = range(model.cfg.n_heads)
    for choice in product([None, *heads], repeat=model.cfg.n_layers):
        stream, chain = model.W_E[tokens], []
        for layer, head in enumerate(choice):
            if head is not None:
                W_OV = model.W_V[layer, head] @ model.W_O[layer, head]
                stream = torch.einsum("bqk,bkr,rw->bqw", change(all_patterns[layer][:, head]), stream, W_OV)
                chain.append(f"{layer}:{head}")
        terms[ARROW.join(chain) or "direct"] = stream @ model.W_U
    return terms


def single(terms: Terms) -> Terms:
    """The direct path, and the heads by themselves."""
    return {path: term for path, term in terms.items() if ARROW not in path}


def reading_all(model, tokens: Tensor) -> Terms:
    """One term for each head, of all that it reads: layer 1 reads what layer 0 wrote, too."""
    cache, terms = model.run_with_cache(tokens)[1], {"direct": model.W_E[tokens] @ model.W_U}
    for layer, pattern in enumerate(patterns(model, tokens)):
        for head in range(model.cfg.n_heads):
            W_OV = model.W_V[layer, head] @ model.W_O[layer, head]
            terms[f"{layer}:{head}"] = pattern[:, head] @ cache["resid_pre", layer] @ W_OV @ model.W_U
    return terms


def by_suffix(model, tokens: Tensor) -> Terms:
    """Chains in which a later head's pattern comes first."""
    return {ARROW.join(reversed(path.split(ARROW))): term for path, term in each_path(model, tokens).items()}


def streams(model, tokens: Tensor) -> Terms:
    """What each path leaves in the stream, before W_U."""
    unembed = torch.linalg.pinv(model.W_U)
    return {path: term @ unembed for path, term in each_path(model, tokens).items()}


def with_direct(model, tokens: Tensor) -> Terms:
    """Each head's term with the direct path in it."""
    terms = each_path(model, tokens)
    return {path: term if path == "direct" else term + terms["direct"] for path, term in terms.items()}


PATH_MISTAKES: dict[str, Callable[..., Any]] = {
    "right for one layer, but a head of a later layer reads what earlier heads wrote, too: each path so far goes on "
    "through each head":
        lambda m, t: single(each_path(m, t)),
    "each head of layer 1 read the whole stream at once: one term for each path that it continues was asked for":
        reading_all,
    "the direct path is missing: the embedding itself also reaches W_U":
        lambda m, t: {path: term for path, term in each_path(m, t).items() if path != "direct"},
    "the direct path is in every term: a head's term is what the head adds, without the stream that it read":
        with_direct,
    "those are vectors of the stream: W_U makes logits of them": streams,
    "the patterns are transposed: their rows are queries":
        lambda m, t: each_path(m, t, lambda pattern: pattern.mT),
    "every prompt was given the patterns of the first one: keep the batch axis, pattern[:, head]":
        lambda m, t: each_path(m, t, lambda pattern: pattern[:1].expand_as(pattern)),
    "the patterns are missing: a head's term is mixed over positions":
        lambda m, t: each_path(m, t, lambda pattern: torch.eye(pattern.shape[-1]).expand_as(pattern)),
    'a chain is named as the information flows, the earlier head first: "0:3 → 1:5"': by_suffix,
    "that is the sum of all paths: return each of them under its name":
        lambda m, t: sum(each_path(m, t).values()),
    "one tensor, with an axis for the paths: return a dict, with each path under its name":
        lambda m, t: torch.stack(list(each_path(m, t).values())),
    'the names are pairs: write head 3 of layer 0 as the text "0:3"':
        lambda m, t: {("direct" if k == "direct" else tuple(map(int, k.split(":")))): v
                      for k, v in each_path(m, t).items() if ARROW not in k},
    'the names are numbers: write head 3 of layer 0 as the text "0:3"':
        lambda m, t: {("direct" if k == "direct" else int(k[-1])): v for k, v in each_path(m, t).items() if ARROW not in k},
}  # fmt: skip


def close(mine: Any, right: Any) -> bool:
    """The same names with the same numbers; or the same tensor."""
    if isinstance(mine, dict) and isinstance(right, dict):
        return mine.keys() == right.keys() and all(close(mine[path], right[path]) for path in right)
    tensors = isinstance(mine, Tensor) and isinstance(right, Tensor)
    return tensors and mine.shape == right.shape and torch.allclose(mine.double(), right.double(), rtol=1e-3, atol=1e-5)


def expanded(answer: Any, model, tokens: Tensor) -> str | None:
    """What is wrong with a dict of paths; None if nothing is."""
    right = each_path(model, tokens)
    if close(answer, right):
        return None
    for sentence, mistake in PATH_MISTAKES.items():
        if close(answer, mistake(model, tokens)):
            return sentence
    if not isinstance(answer, dict):
        return f"return a dict from the name of each path to its logits, not a {type(answer).__name__}"
    return wrong_names(answer, right) or wrong_values(answer, right, model)


def wrong_names(answer: dict, right: Terms) -> str | None:
    """Which paths have no name, or a name of their own."""
    known = ", ".join(f'"{path}"' for path in ("direct", "0:3", "0:3 → 1:5"))
    if path := next((path for path in answer if twice_in_a_layer(path)), None):
        return f'"{path}" is no path: heads of one layer all read the stream as it was before the layer, not each other'
    if missing := [path for path in right if path not in answer]:
        other = [path for path in answer if path not in right]
        instead = f"; yours has {other[0]!r} instead" if other else ""
        return f'{len(missing)} of {len(right)} paths are missing, the first of them "{missing[0]}"{instead}'
    if extra := [path for path in answer if path not in right]:
        return f"there is no path {extra[0]!r} in this model: names are {known}"
    return None


def twice_in_a_layer(path: Any) -> bool:
    """Whether a chain goes through two heads of the same layer."""
    layers = [head.split(":")[0] for head in str(path).split(ARROW)]
    return len(set(layers)) < len(layers)


def wrong_values(answer: dict, right: Terms, model) -> str:
    """The first path whose numbers are wrong, and how."""
    path = next(path for path in right if not close(answer[path], right[path]))
    mine, theirs = answer[path], right[path]
    if not isinstance(mine, Tensor):
        return f'"{path}" should be a tensor of logits, not a {type(mine).__name__}'
    if mine.shape != theirs.shape:
        stream = mine.shape[-1:] == (model.cfg.d_model,)
        hint = ": is W_U missing?" if stream else ""
        return f'the shape of "{path}" is {list(mine.shape)}, and should be [batch pos d_vocab], {list(theirs.shape)}{hint}'
    factor = ((mine * theirs).sum() / theirs.square().sum()).item()
    if close(mine, factor * theirs):
        return f'"{path}" is off by the constant factor {factor:.4g}'
    n_wrong = sum(not close(answer[other], right[other]) for other in right)
    return f'{n_wrong} of {len(right)} paths have wrong values; look at "{path}" first'
