"""Virtual heads one by one: what the loss of a two-layer model changes by, if a single one is left out or added."""

from collections.abc import Sequence

import torch
from einops import einsum, rearrange
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough import behaviour
from walkthrough.two_layers.term_importance import path_groups, two_patterns


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


def pattern_overlap(
    model, rows: Int[Tensor, "window pos_and_one"]
) -> Float[Tensor, "write read"]:  # fmt: skip
    """How alike the pattern of each virtual head is to that of its second head: 1 for identical ones.

    The smaller of the two shares of attention, summed over keys, and averaged over queries and windows.
    """
    overlaps = []
    for row in rows:
        first, second = two_patterns(model, row[None, :-1])
        both = torch.stack([second[0] @ pattern for pattern in first[0]])  # [write read query key]
        overlaps.append(torch.minimum(both, second[0][None]).sum(-1).mean(-1))
    return torch.stack(overlaps).mean(0)


def own_and_previous(
    model, rows: Int[Tensor, "window pos_and_one"]
) -> tuple[Float[Tensor, " head"], Float[Tensor, " head"]]:
    """How much heads of layer 0 look at their own token, and at the one before, averaged over positions and windows."""
    first, _ = two_patterns(model, rows[:, :-1])
    own = first.diagonal(dim1=-2, dim2=-1).mean((0, -1))
    return own, behaviour.previous_token_score(first)


def follower_entries(
    model, counts: Float[Tensor, "current next"], tokens: Int[Tensor, " token"]
) -> Float[Tensor, "write read"]:
    """What each virtual head adds, in logits, to the tokens that usually follow the one that it moves.

    The mean over `tokens` of the entries of its table, W_E W_OV W_OV W_U, weighted by how often each next token followed
    in `counts`. Rows are centred, and the mean row is taken away, so that what is the same for all tokens counts nothing.
    """
    shares = counts[tokens] / counts[tokens].sum(1, keepdim=True)
    centred = model.W_U - model.W_U.mean(1, keepdim=True)
    heads = range(model.cfg.n_heads)
    entries = torch.empty(len(heads), len(heads)).to(shares)
    for write in heads:
        moved = model.W_E[tokens] @ model.W_V[0, write] @ model.W_O[0, write]
        moved = moved - moved.mean(0)
        for read in heads:
            at_followers = shares @ (model.W_V[1, read] @ model.W_O[1, read] @ centred).T
            entries[write, read] = (moved * at_followers).sum(1).mean()
    return entries


def value_costs(
    model, tokens: Int[Tensor, "batch pos"], length: int, writers: Sequence[int], readers: Sequence[int]
) -> Float[Tensor, "4 batch"]:
    """Nats that it costs on later copies if heads of layer 1 get less as their values; patterns held fixed.

    `readers` lose the embedding; what `writers` of layer 0 wrote; both; what the rest of layer 0 wrote. `tokens` are
    `repeated_tokens(…, length, …)`. Raises ValueError for a model that has not two layers.
    """
    given, rest = tokens[:, :-1], [head for head in range(model.cfg.n_heads) if head not in writers]
    patterns = two_patterns(model, given)
    z = virtual_values(model, given, patterns)
    terms = torch.zeros(3, *given.shape, model.cfg.d_model).to(model.W_U)
    for read in readers:
        W_O = model.W_O[1, read]
        terms[0] += patterns[1][:, read] @ model.W_E[given] @ model.W_V[1, read] @ W_O
        terms[1] += z[list(writers), read].sum(0) @ W_O
        terms[2] += z[rest, read].sum(0) @ W_O
    embedding, written, others = terms
    logits, losses = model(given), []
    for missing in (torch.zeros_like(embedding), embedding, written, embedding + written, others):
        loss = behaviour.loss_per_position(logits - missing @ model.W_U, tokens)
        losses.append(loss[:, length:].mean(1))
    return torch.stack(losses[1:]) - losses[0]


def follower_mass(
    model, rows: Int[Tensor, "window pos_and_one"], counts: Float[Tensor, "current next"], write: int,
    readers: Sequence[int],
) -> dict[str, Float[Tensor, " window"]]:  # fmt: skip
    """Mean probability, by window, of the ten tokens that most often followed the current one in `counts`.

    For the model and for sums with and without the virtual heads from `write` into `readers`. "came true" is the share
    of positions at which the next token was one of the ten. Raises ValueError for a model that has not two layers.
    """
    found = []
    for row in rows:
        tokens = row[None, :-1]
        patterns = two_patterns(model, tokens)
        groups = path_groups(model, tokens, patterns)[:, 0]
        z = virtual_values(model, tokens, patterns)[write, :, 0]
        term = sum(z[read] @ model.W_O[1, read] for read in readers)
        full, singles = groups.sum(0), groups[:3].sum(0)
        ten = counts[row[:-1]].topk(10).indices
        masses = [(ten == row[1:, None]).any(-1).to(full).mean()]
        for resid in (full, full - term, singles, singles + term):
            masses.append((resid @ model.W_U).softmax(-1).gather(-1, ten).sum(-1).mean())
        found.append(torch.stack(masses))
    names = "came true", "whole model", "without them", "orders 0 and 1", "with them added"
    return dict(zip(names, torch.stack(found, -1)))
