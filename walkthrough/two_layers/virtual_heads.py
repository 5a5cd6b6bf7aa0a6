"""Virtual heads one by one: what the loss of a two-layer model changes by, if a single one is left out or added."""

from collections.abc import Sequence

import torch
from einops import einsum, rearrange
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough import behaviour
from walkthrough.architecture import ADDED, LOGITS, STREAM, leaves_out
from walkthrough.two_layers.term_importance import path_groups, two_patterns


@leaves_out(*STREAM, *ADDED, *LOGITS, "groups")
def virtual_values(
    model, tokens: Int[Tensor, "batch pos"], patterns: list[Float[Tensor, "batch head query key"]]
) -> Float[Tensor, "write read batch pos d_head"]:  # fmt: skip
    """The z of each virtual head: what a head of layer 1 (read) takes from the output of one of layer 0 (write).

    Times W_O W_U of the head that reads, it is the logits of that path, in a model with two layers (Elhage et al.
    2021, "Virtual Attention Heads").
    """
    values = einsum(model.W_E[tokens], model.W_V[0], "batch key read, write read d_head -> batch write key d_head")
    z = rearrange(patterns[0] @ values, "batch write pos d_head -> write 1 batch pos d_head")
    OV = rearrange(model.W_O[0][:, None] @ model.W_V[1], "write read ... -> write read 1 ...")
    return patterns[1].transpose(0, 1) @ (z @ OV)


def added_loss(
    log_probs: Float[Tensor, "pos d_vocab"], targets: Int[Tensor, " pos"], z: Float[Tensor, "write read pos d_head"],
    readout: Float[Tensor, "read d_head d_vocab"],
) -> Float[Tensor, "write read pos"]:  # fmt: skip
    """How the loss changes, in nats, if one term's logits, z @ readout, are added: exactly. Give -z to leave it out.

    Each change is log Σ p exp(δ) - δ[target], for logits δ and the probabilities p that there are without them.
    """
    totals = torch.empty(z.shape[:-1]).to(z)
    for write in range(z.shape[0]):
        for read in range(z.shape[1]):
            logits = torch.addmm(log_probs, z[write, read], readout[read])
            totals[write, read] = logits.exp_().sum(-1)
    return totals.log() - einsum(z, readout[..., targets], "write read pos d_head, read d_head pos -> write read pos")


def loss_slope(
    log_probs: Float[Tensor, "pos d_vocab"], targets: Int[Tensor, " pos"], z: Float[Tensor, "write read pos d_head"],
    readout: Float[Tensor, "read d_head d_vocab"],
) -> Float[Tensor, "write read pos"]:  # fmt: skip
    """`term_slope` of all terms at once, from their z: Σ p δ - δ[target], in nats.

    The mean Σ p readout serves all terms, so that none needs logits of its own.
    """
    mean = einsum(log_probs.exp(), readout, "pos d_vocab, read d_head d_vocab -> read d_head pos")
    return einsum(z, mean - readout[..., targets], "write read pos d_head, read d_head pos -> write read pos")


@leaves_out(*STREAM, *ADDED, *LOGITS, "groups")
def virtual_effects(
    model, rows: Int[Tensor, "window pos_and_one"], every: int = 16,
    terms_of: Int[Tensor, "window pos_and_one"] | None = None,
) -> tuple[Float[Tensor, "side write read window"], Float[Tensor, "side write read window"]]:  # fmt: skip
    """Change of each window's loss in nats, by virtual head, as two parts to add: its slope, and its curvature.

    Side 0: the term alone is left out of the full sum. Side 1: it alone is added to the paths of order 0 and 1. Slopes
    are means over all positions; curvature is computed exactly at each `every`-th position, so that `every=1` is exact
    throughout. As a control, the terms may be those of other windows, `terms_of`, which are then subtracted from the
    full sum, or added. Raises ValueError for a model that has not two layers.
    """
    readout, some, slopes, curvatures = model.W_O[1] @ model.W_U, slice(every - 1, None, every), [], []
    for row, other in zip(rows, rows if terms_of is None else terms_of):
        tokens = row[None, :-1]
        patterns = two_patterns(model, tokens)
        groups = path_groups(model, tokens, patterns)[:, 0]
        if terms_of is None:
            z = virtual_values(model, tokens, patterns)[:, :, 0]
        else:
            z = virtual_values(model, other[None, :-1], two_patterns(model, other[None, :-1]))[:, :, 0]
        for resid, term in ((groups.sum(0), -z), (groups[:3].sum(0), z)):
            log_probs = (resid @ model.W_U).log_softmax(-1)
            slope = loss_slope(log_probs, row[1:], term, readout)
            exact = added_loss(log_probs[some], row[1:][some], term[..., some, :], readout)
            slopes.append(slope.mean(-1))
            curvatures.append((exact - slope[..., some]).mean(-1))
    return _by_side(slopes), _by_side(curvatures)


def _by_side(means: list[Float[Tensor, "write read"]]) -> Float[Tensor, "side write read window"]:
    """What was measured window by window, two sides in turn, in an order to index by."""
    return rearrange(torch.stack(means), "(window side) write read -> side write read window", side=2)


@leaves_out(*STREAM, *ADDED, *LOGITS, "groups")
def value_losses(
    model, tokens: Int[Tensor, "batch pos"], others: Int[Tensor, "batch pos"], length: int, writers: Sequence[int],
    readers: Sequence[int],
) -> dict[str, Float[Tensor, " batch"]]:  # fmt: skip
    """Loss in nats on later copies, by what heads of layer 1 get as their values; all patterns are those of `tokens`.

    `readers` lose the embedding and what `writers` of layer 0 wrote, a second embedding, and get back the one or the
    other, both, or the second one of `others`. `tokens` and `others` are `repeated_tokens(…, length, …)`. Raises
    ValueError for a model that has not two layers.
    """
    patterns = two_patterns(model, tokens[:, :-1])
    terms = []
    for values_of in (tokens[:, :-1], others[:, :-1]):
        z = virtual_values(model, values_of, patterns)
        embedding, second = torch.zeros(2, *values_of.shape, model.cfg.d_model).to(model.W_U)
        for read in readers:
            W_O = model.W_O[1, read]
            embedding += patterns[1][:, read] @ model.W_E[values_of] @ model.W_V[1, read] @ W_O
            second += z[list(writers), read].sum(0) @ W_O
        terms += [embedding, second]
    embedding, second, _, foreign = terms
    rest = model(tokens[:, :-1]) - (embedding + second) @ model.W_U
    given = {
        "neither": torch.zeros_like(embedding), "embedding": embedding, "second": second,
        "embedding and second": embedding + second, "foreign second": foreign,
        "embedding and foreign second": embedding + foreign,
    }  # fmt: skip
    losses = {name: behaviour.loss_per_position(rest + term @ model.W_U, tokens) for name, term in given.items()}
    return {name: loss[:, length:].mean(1) for name, loss in losses.items()}
