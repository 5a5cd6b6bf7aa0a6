"""MLPs: what reaches a neuron, what it writes, what of it can be read, and which basis means something."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from walkthrough.architecture import LOGITS, STREAM, leaves_out
from walkthrough.paths import head_output


@leaves_out(*STREAM, "value_biases", "positions", "groups", needs="plain MLPs")
def preactivation_terms(
    model, tokens: Int[Tensor, "batch pos"]
) -> dict[str, Float[Tensor, "batch pos neuron"]]:  # fmt: skip
    """What a one-layer model's neurons get before the ReLU, as a sum: "direct", each head, "b_in".

    Exact, with the patterns of the model's own run (Elhage et al. 2021, "Where Does This Leave
    Us?": W_I W_E plus, for each head, A times W_I W_OV W_E).
    """
    _, cache = model.run_with_cache(tokens)
    embed, W_in = cache["hook_embed"], model.W_in[0]
    terms = {"direct": embed @ W_in}
    for head in range(model.cfg.n_heads):
        pattern = cache["pattern", 0][:, head]
        written = head_output(pattern, embed, model.W_V[0, head], model.W_O[0, head])
        terms[f"0:{head}"] = written @ W_in
    terms["b_in"] = model.b_in[0].expand_as(terms["direct"])
    return terms


@leaves_out(*STREAM, "value_biases", "positions", "groups", *LOGITS, needs="plain MLPs")
def logit_terms(model, tokens: Int[Tensor, "batch pos"]) -> dict[str, Float[Tensor, "batch pos d_vocab"]]:
    """A one-layer model's logits as a sum: "direct", each head, "MLP" (its output as a leaf) and "b_out"; exact."""
    _, cache = model.run_with_cache(tokens)
    embed = cache["hook_embed"]
    streams = {"direct": embed}
    for head in range(model.cfg.n_heads):
        pattern = cache["pattern", 0][:, head]
        streams[f"0:{head}"] = head_output(pattern, embed, model.W_V[0, head], model.W_O[0, head])
    streams["MLP"] = cache["blocks.0.mlp.hook_post"] @ model.W_out[0]
    streams["b_out"] = model.b_out[0].expand_as(embed)
    return {name: stream @ model.W_U for name, stream in streams.items()}


def replace_output(by: Float[Tensor, " d_model"]) -> list[tuple[str, Callable]]:
    """Hooks that put one vector in the place of what the MLP of layer 0 writes, at every position.

    Zeros zero-ablate it; its mean over a text mean-ablates it.
    """
    return [("blocks.0.hook_mlp_out", lambda written, hook: by.expand_as(written))]


def feed(stream: Float[Tensor, "batch pos d_model"]) -> list[tuple[str, Callable]]:
    """Hooks that let the MLP of layer 0 read another stream than the run's, of the same shape."""
    return [("blocks.0.mlp.hook_in", lambda read, hook: stream)]


def kurtosis(x: Float[Tensor, "*batch coordinate"]) -> Float[Tensor, "*batch"]:
    """Mean fourth power of a vector's coordinates over the square of their mean square: 3 for normal noise."""
    return x.pow(4).mean(-1) / x.square().mean(-1) ** 2


def in_out_cosine(
    W_in: Float[Tensor, "d_model neuron"], W_out: Float[Tensor, "neuron d_model"]
) -> Float[Tensor, " neuron"]:
    """Cosine between what each neuron reads and what it writes; below zero, it erases.

    Elhage et al. 2021 ("Residual Stream Bandwidth") suggest that such neurons manage memory.
    """
    lengths = W_in.norm(dim=0) * W_out.norm(dim=1)
    return (W_in.T * W_out).sum(-1) / lengths


class Readings(NamedTuple):
    """For each neuron, the tokens that should make it fire, and those that it should make likelier; from weights."""

    read: Int[Tensor, "neuron rank"]
    write: Int[Tensor, "neuron rank"]


def readings(
    W_E: Float[Tensor, "d_vocab d_model"], W_in: Float[Tensor, "d_model neuron"],
    W_out: Float[Tensor, "neuron d_model"], W_U: Float[Tensor, "d_model d_vocab"], k: int = 10,
) -> Readings:  # fmt: skip
    """The k current tokens that raise each neuron most, and the k tokens that it raises most."""
    fires = (W_E @ W_in).T  # [neuron token]
    says = W_out @ W_U
    return Readings(fires.topk(k).indices, says.topk(k).indices)


def strongest(
    activation: Float[Tensor, "place neuron"], share: float = 0.01
) -> Int[Tensor, "neuron strong"]:  # fmt: skip
    """The places where each neuron is most active: this share of all places."""
    return activation.topk(round(share * len(activation)), dim=0).indices.T


def hits(
    tokens: Int[Tensor, " place"], where: Int[Tensor, "neuron strong"], listed: Int[Tensor, "neuron rank"]
) -> Float[Tensor, "neuron list"]:  # fmt: skip
    """For each neuron and each list, the share of the neuron's places whose token stands in the list.

    The diagonal is what a neuron's own list says of it; the rest of its row, what those of others say.
    """
    found = tokens[where][:, :, None, None] == listed  # [neuron strong list rank]
    return found.any(-1).double().mean(1)


def passed(
    shares: Float[Tensor, "neuron list"], least: float, times: float = 5.0
) -> Bool[Tensor, " neuron"]:  # fmt: skip
    """Whether a neuron's own list holds for `least` of its places, and `times` as often as other neurons' lists do."""
    own = shares.diagonal()
    others = (shares.sum(1) - own) / (len(shares) - 1)
    return (own >= least) & (own >= times * others)


def linear_fit(
    read: Float[Tensor, "place d_model"], written: Float[Tensor, "place d_model"]
) -> tuple[Float[Tensor, "d_model d_model"], Float[Tensor, " d_model"]]:
    """The matrix and the constant that come nearest to what an MLP writes, in squared error: a matrix in its place."""
    with_one = torch.cat([read, torch.ones_like(read[:, :1])], dim=1)
    solved = torch.linalg.lstsq(with_one, written).solution
    return solved[:-1], solved[-1]
