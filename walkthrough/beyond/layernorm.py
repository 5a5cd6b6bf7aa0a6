"""LayerNorm: what of it folds into the weights, what stays, and the path expansion with its scales held fixed."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.architecture import leaves_out
from walkthrough.models import norms
from walkthrough.paths import head_output


class Folded(NamedTuple):
    """The weights of a model with LayerNorm, in which each gain, bias and subtraction of a mean is part of a matrix."""

    W_E: Float[Tensor, "d_vocab d_model"]
    W_pos: Float[Tensor, "n_ctx d_model"]
    W_Q: Float[Tensor, "layer head d_model d_head"]
    b_Q: Float[Tensor, "layer head d_head"]
    W_K: Float[Tensor, "layer head d_model d_head"]
    b_K: Float[Tensor, "layer head d_head"]
    W_V: Float[Tensor, "layer head d_model d_head"]
    b_V: Float[Tensor, "layer head d_head"]
    W_O: Float[Tensor, "layer head d_head d_model"]
    b_O: Float[Tensor, "layer d_model"]
    W_U: Float[Tensor, "d_model d_vocab"]
    b_U: Float[Tensor, " d_vocab"]


class FoldedRun(NamedTuple):
    """Logits of a run on folded weights, with what stays outside of them: patterns and scales, the final one last."""

    logits: Float[Tensor, "batch pos d_vocab"]
    patterns: list[Float[Tensor, "batch head query key"]]
    scales: list[Float[Tensor, "batch pos 1"]]


def scale(resid: Float[Tensor, "*batch d_model"], eps: float = 1e-5) -> Float[Tensor, "*batch 1"]:
    """What LayerNorm divides each vector by: the standard deviation of its coordinates.

    `eps` is added to the variance, so that nothing is ever divided by zero.
    """
    centred = resid - resid.mean(-1, keepdim=True)
    return (centred.square().mean(-1, keepdim=True) + eps).sqrt()


def fold(
    gain: Float[Tensor, " d_model"], bias: Float[Tensor, " d_model"],
    W: Float[Tensor, "*head d_model out"], b: Float[Tensor, "*head out"],
) -> tuple[Float[Tensor, "*head d_model out"], Float[Tensor, "*head out"]]:  # fmt: skip
    """Weights and bias that read a stream, divided by its scale, as W and b read its LayerNorm.

    So `(resid / scale(resid)) @ W_folded + b_folded` is `LayerNorm(resid) @ W + b`, exactly
    (Elhage et al. 2021, "Technical Details": LayerNorm).
    """
    d_model = len(gain)
    centring = torch.eye(d_model).to(W) - 1 / d_model  # x @ centring is x minus its mean
    W_folded = centring @ (gain[:, None] * W)
    b_folded = b + bias @ W
    return W_folded, b_folded


@leaves_out(
    "distances",
    "scores",
    "MLPs",
    "groups",
    "writes",
    "between",
    "logits",
    instead="fold its weights with TransformerLens' `enable_compatibility_mode`",
)
def folded(model) -> Folded:
    """All weights of a model of `models.WithLayerNorm`, with its LayerNorms folded into what reads them."""
    *before_layers, (gain, bias) = norms(model)
    read = {"Q": [], "K": [], "V": []}
    for layer, of_layer in enumerate(before_layers):
        for which, done in read.items():
            W, b = getattr(model, f"W_{which}")[layer], getattr(model, f"b_{which}")[layer]
            done.append(fold(*of_layer, W, b))
    (W_Q, b_Q), (W_K, b_K), (W_V, b_V) = ([torch.stack(part) for part in zip(*done)] for done in read.values())
    W_U, b_U = fold(gain, bias, model.W_U, model.b_U)
    return Folded(model.W_E, model.W_pos, W_Q, b_Q, W_K, b_K, W_V, b_V, model.W_O, model.b_O, W_U, b_U)


def run(weights: Folded, tokens: Int[Tensor, "batch pos"], eps: float = 1e-5) -> FoldedRun:
    """The model in full, on folded weights: all that is left of LayerNorm is the division by a scale."""
    n_pos = tokens.shape[1]
    resid = weights.W_E[tokens] + weights.W_pos[:n_pos]
    future = torch.ones(n_pos, n_pos).triu(1).bool()
    patterns, scales = [], []
    for layer in range(len(weights.W_Q)):
        scales.append(scale(resid, eps))
        read = (resid / scales[-1])[:, None]  # [batch 1 pos d_model]
        q = read @ weights.W_Q[layer] + weights.b_Q[layer][:, None]
        k = read @ weights.W_K[layer] + weights.b_K[layer][:, None]
        v = read @ weights.W_V[layer] + weights.b_V[layer][:, None]
        scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(future, -torch.inf)
        patterns.append(scores.softmax(-1))
        resid = resid + (patterns[-1] @ v @ weights.W_O[layer]).sum(1) + weights.b_O[layer]
    scales.append(scale(resid, eps))
    return FoldedRun(resid / scales[-1] @ weights.W_U + weights.b_U, patterns, scales)


def frozen_paths(
    weights: Folded, tokens: Int[Tensor, "batch pos"],
    patterns: list[Float[Tensor, "batch head query key"]],
    scales: list[Float[Tensor, "batch pos 1"]],
) -> dict[str, Float[Tensor, "batch pos d_vocab"]]:  # fmt: skip
    """Logits as a sum over paths, each of which starts in a leaf: tokens, positions, or a bias.

    Patterns and scales are those of a run, and are held fixed. A head adds a path to each path so
    far, and two leaves start in each layer: "b_V 0:2", what the value bias of head 0:2 becomes, and
    "b_O 0". The last leaf, "b_U", is added to the logits themselves, and has no scale.
    """
    resid = weights.W_E[tokens]
    streams = {"tokens": resid, "positions": weights.W_pos[: tokens.shape[1]].expand_as(resid)}
    for layer in range(len(weights.W_V)):
        earlier = list(streams.items())
        for head in range(weights.W_V.shape[1]):
            pattern = patterns[layer][:, head]
            W_V, W_O = weights.W_V[layer, head], weights.W_O[layer, head]
            for path, stream in earlier:
                read = stream / scales[layer]
                streams[f"{path} → {layer}:{head}"] = head_output(pattern, read, W_V, W_O)
            streams[f"b_V {layer}:{head}"] = (weights.b_V[layer, head] @ W_O).expand_as(resid)
        streams[f"b_O {layer}"] = weights.b_O[layer].expand_as(resid)
    logits = {path: stream / scales[-1] @ weights.W_U for path, stream in streams.items()}
    return logits | {"b_U": weights.b_U.expand_as(logits["tokens"])}
