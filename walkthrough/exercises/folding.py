"""Exercises 14.1 and 14.2: a LayerNorm folded into what reads it, and paths with scales held fixed."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from walkthrough.exercises.expanding import close
from walkthrough.exercises.looking import causal, draws

# 14.1 fold


def layer_norms() -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Gain, bias, W and b, none of which is symmetric or has a mean of zero; the second W is square."""
    cases = []
    for seed, (d_model, out) in enumerate([(6, 4), (5, 5)]):
        gain, bias, W, b = draws(40 + seed, (d_model,), (d_model,), (d_model, out), (out,))
        cases.append((1.5 + gain.abs(), 0.7 + bias, W + 0.3, b))
    return cases


def slow_fold(gain: Tensor, bias: Tensor, W: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Read off from what LayerNorm and W do to vectors: one axis of the stream at a time, without the division."""
    read = lambda x: ((x - x.mean()) * gain + bias) @ W + b
    at_zero = read(torch.zeros_like(gain))
    rows = [read(axis) - at_zero for axis in torch.eye(len(gain)).to(W)]
    return torch.stack(rows), at_zero


def centred_rows(W: Tensor) -> Tensor:
    """The mean over the axis that is written taken out of each row: the wrong axis."""
    return W - W.mean(1, keepdim=True)


def centred_columns(W: Tensor) -> Tensor:
    """The mean over the axis that is read taken out of each column."""
    return W - W.mean(0, keepdim=True)


FOLD_MISTAKES: dict[str, Callable[..., Any]] = {
    "the mean is still in it: the stream's mean is subtracted by the centring matrix, which stands left of gain and W":
        lambda g, c, W, b: (g[:, None] * W, b + c @ W),
    "the gain is missing: multiply row i of W by gain[i], gain[:, None] * W":
        lambda g, c, W, b: (centred_columns(W), b + c @ W),
    "the bias of LayerNorm is missing: W reads it, too, so it adds bias @ W":
        lambda g, c, W, b: (centred_columns(g[:, None] * W), b),
    "the old b is missing: the folded bias is b + bias @ W":
        lambda g, c, W, b: (centred_columns(g[:, None] * W), c @ W),
    "the bias went through the gain: LayerNorm adds it after the gain, so it is bias @ W with the old W":
        lambda g, c, W, b: (centred_columns(g[:, None] * W), b + c @ (g[:, None] * W)),
    "the bias went through the folded W: LayerNorm adds it last, so it is bias @ W with the old W":
        lambda g, c, W, b: (centred_columns(g[:, None] * W), b + c @ centred_columns(g[:, None] * W)),
    "wrong order: the mean is subtracted before the gain, so the centring matrix is leftmost, centring @ (gain[:, None] * W)":
        lambda g, c, W, b: (g[:, None] * centred_columns(W), b + c @ W),
    "the mean was taken over the wrong axis: the one that the stream has, axis 0 of W":
        lambda g, c, W, b: (centred_rows(g[:, None] * W), b + c @ W),
    "that is the sum, where a mean is subtracted: divide by d_model":
        lambda g, c, W, b: (g[:, None] * W - (g[:, None] * W).sum(0), b + c @ W),
}  # fmt: skip


def judge_fold(answer: Any, gain: Tensor, bias: Tensor, W: Tensor, b: Tensor) -> str | None:
    """What is wrong with a folded pair; None if nothing is."""
    if not (isinstance(answer, tuple | list) and len(answer) == 2):
        return f"return two tensors, W_folded and b_folded, not a {type(answer).__name__}"
    if not all(isinstance(part, Tensor) for part in answer):
        return "both W_folded and b_folded are tensors"
    right = slow_fold(gain, bias, W, b)
    for name, mine, theirs in zip(("W_folded", "b_folded"), answer, right):
        if mine.shape != theirs.shape:
            return f"wrong shape: your {name} is {list(mine.shape)}, it should be {list(theirs.shape)}"
    same = [close(mine, theirs) for mine, theirs in zip(answer, right)]
    if all(same):
        return None
    for sentence, mistake in FOLD_MISTAKES.items():
        if all(close(mine, wrong) for mine, wrong in zip(answer, mistake(gain, bias, W, b))):
            return sentence
    return f"{'b_folded' if same[0] else 'W_folded'} is wrong: compare with what LayerNorm and W do to one vector"


# 14.2 paths with frozen scales


def folded_runs() -> list[tuple]:
    """Folded weights of one layer and of two, tokens, patterns and scales; all random, with every bias at work."""
    from walkthrough.beyond.layernorm import Folded

    cases = []
    for n_layers, n_heads, n_pos in ((1, 2, 4), (2, 2, 3)):
        d_vocab, d_model, d_head = 9, 6, 3
        read, bias = (n_layers, n_heads, d_model, d_head), (n_layers, n_heads, d_head)
        shapes = [(d_vocab, d_model), (n_pos + 2, d_model), *(read, bias) * 3]
        shapes += [(n_layers, n_heads, d_head, d_model), (n_layers, d_model), (d_model, d_vocab), (d_vocab,)]
        weights = Folded(*draws(50 + n_layers, *shapes))
        *scores, sizes = draws(60 + n_layers, *[(2, n_heads, n_pos, n_pos)] * n_layers, (n_layers + 1, 2, n_pos, 1))
        patterns = [causal(2 * each).softmax(-1) for each in scores]
        tokens = torch.randint(0, d_vocab, (2, n_pos), generator=torch.Generator().manual_seed(n_layers))
        cases.append((weights, tokens, patterns, list(0.5 + sizes.abs())))
    return cases


def slow_paths(w, tokens: Tensor, patterns: list[Tensor], scales: list[Tensor], *, inner=True, last=True) -> dict:
    """Each leaf by itself, carried through each chain of later heads; the scales of layers or the last one can be left out."""
    n_layers, n_heads = w.W_V.shape[:2]
    shape = (*tokens.shape, w.W_E.shape[1])
    leaves = {"tokens": (0, w.W_E[tokens]), "positions": (0, w.W_pos[: shape[1]].expand(shape))}
    for layer in range(n_layers):
        for head in range(n_heads):
            leaves[f"b_V {layer}:{head}"] = layer + 1, (w.b_V[layer, head] @ w.W_O[layer, head]).expand(shape)
        leaves[f"b_O {layer}"] = layer + 1, w.b_O[layer].expand(shape)

    def onward(name: str, first: int, stream: Tensor) -> dict:
        """The path that stops here, and those that go on through a later head."""
        made = {name: stream / (scales[-1] if last else 1) @ w.W_U}
        for layer in range(first, n_layers):
            for head in range(n_heads):
                read = stream / scales[layer] if inner else stream
                W_OV = w.W_V[layer, head] @ w.W_O[layer, head]
                moved = torch.einsum("bqk,bkr,rw->bqw", patterns[layer][:, head], read, W_OV)
                made |= onward(f"{name} → {layer}:{head}", layer + 1, moved)
        return made

    terms = {}
    for name, (first, stream) in leaves.items():
        terms |= onward(name, first, stream)
    return terms | {"b_U": w.b_U.expand(*tokens.shape, -1)}


def without(terms: dict, part: str) -> dict:
    """The paths whose name does not begin like this."""
    return {name: term for name, term in terms.items() if not name.startswith(part)}


FROZEN_MISTAKES: dict[str, Callable[..., Any]] = {
    "the scales of the layers are missing: a head reads the stream divided by scales[layer]":
        lambda *case: slow_paths(*case, inner=False),
    "the last scale is missing: W_U reads the stream divided by scales[-1]":
        lambda *case: slow_paths(*case, last=False),
    "no scale is there at all: heads read the stream divided by scales[layer], and W_U by scales[-1]":
        lambda *case: slow_paths(*case, inner=False, last=False),
    '"b_U" is missing: it is added to the logits themselves, and is a leaf like the others':
        lambda *case: without(slow_paths(*case), "b_U"),
    'the leaves "b_V …" are missing: each head\'s value bias, written by its W_O':
        lambda *case: without(slow_paths(*case), "b_V"),
    'the leaves "b_O …" are missing: each layer adds its output bias to the stream':
        lambda *case: without(slow_paths(*case), "b_O"),
    'the leaf "positions" is missing: in this model positions are in the stream':
        lambda *case: without(slow_paths(*case), "positions"),
    "that is the sum of all paths: return each of them under its name":
        lambda *case: sum(slow_paths(*case).values()),
}  # fmt: skip


def judge_frozen(answer: Any, *case) -> str | None:
    """What is wrong with a dict of frozen paths; None if nothing is."""
    right = slow_paths(*case)
    if close(answer, right):
        return None
    for sentence, mistake in FROZEN_MISTAKES.items():
        if close(answer, mistake(*case)):
            return sentence
    if not isinstance(answer, dict):
        return f"return a dict from the name of each path to its logits, not a {type(answer).__name__}"
    if missing := [path for path in right if path not in answer]:
        return f'{len(missing)} of {len(right)} paths are missing, the first of them "{missing[0]}"'
    if extra := [path for path in answer if path not in right]:
        return f"there is no path {extra[0]!r} in this model"
    path = next(path for path in right if not close(answer[path], right[path]))
    if isinstance(answer[path], Tensor) and answer[path].shape != right[path].shape:
        mine, theirs = list(answer[path].shape), list(right[path].shape)
        return f'the shape of "{path}" is {mine}, and should be [batch pos d_vocab], {theirs}: use .expand_as'
    n_wrong = sum(not close(answer[other], right[other]) for other in right)
    return f'{n_wrong} of {len(right)} paths have wrong values; look at "{path}" first'
