"""Which paths matter: the loss of sums of some paths only, while attention patterns are held fixed."""

import math
from collections.abc import Mapping, Sequence

import torch
from einops import einsum, rearrange
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough import behaviour, paths

GROUPS = ("direct", "layer 0", "layer 1", "virtual")  # the direct path, each layer's heads alone, all virtual heads
SUMS = {  # of groups: the three orders, either layer alone over the direct path, and all but the direct path
    "order 0": ("direct",), "up to order 1": ("direct", "layer 0", "layer 1"), "up to order 2": GROUPS,
    "with layer 0": ("direct", "layer 0"), "with layer 1": ("direct", "layer 1"), "no direct path": GROUPS[1:],
}  # fmt: skip
TILE = 64  # positions whose logits are held at once: 64 rows of 4096 float32 numbers fit the cache of a core


def ordered_losses(model, rows: Int[Tensor, "batch pos_and_one"]) -> Float[Tensor, "order batch pos"]:
    """Loss in nats of all paths through at most 0, 1, 2, … heads, attention patterns held fixed; a run for each order.

    `rows` are one longer than what the model is given (Elhage et al. 2021, "Term Importance Analysis").
    """
    tokens, layers, saved = rows[:, :-1], range(model.cfg.n_layers), {}
    cache = model.run_with_cache(tokens)[1]
    hooks = paths.freeze([cache["pattern", layer] for layer in layers])

    def pass_on(z, hook):
        """The heads' outputs of the run before, or zero; the present ones are kept for the next run."""
        before, saved[hook.name] = saved.get(hook.name, torch.zeros_like(z)), z.clone()
        return before

    hooks += [(f"blocks.{layer}.attn.hook_z", pass_on) for layer in layers]
    runs = [model.run_with_hooks(tokens, fwd_hooks=hooks) for _ in range(model.cfg.n_layers + 1)]
    return torch.stack([behaviour.loss_per_position(logits, rows) for logits in runs])


def layer_output(
    pattern: Float[Tensor, "batch head query key"], resid: Float[Tensor, "batch pos d_model"],
    W_V: Float[Tensor, "head d_model d_head"], W_O: Float[Tensor, "head d_head d_model"],
) -> Float[Tensor, "batch query d_model"]:  # fmt: skip
    """What all heads of a layer together add to the stream, from their patterns and whatever stream they read.

    The sum over heads of the paper's (A ⊗ W_OV) x (Elhage et al. 2021, "Attention Heads as Information Movement").
    """
    values = einsum(resid, W_V, "batch key read, head read d_head -> batch head key d_head")
    return einsum(pattern @ values, W_O, "batch head query d_head, head d_head write -> batch query write")


def two_patterns(model, tokens: Int[Tensor, "batch pos"]) -> list[Float[Tensor, "batch head query key"]]:
    """Attention patterns of both layers in the model's own run; ValueError for a model that has not two layers."""
    if model.cfg.n_layers != 2:
        raise ValueError(f"virtual heads here are pairs of heads: use a model of 2 layers, not of {model.cfg.n_layers}")
    last_only = lambda resid, hook: resid[:, -1:]  # the logits are not used: save the time of most of them
    with model.hooks(fwd_hooks=[("blocks.1.hook_resid_post", last_only)]):
        cache = model.run_with_cache(tokens)[1]
    return [cache["pattern", 0], cache["pattern", 1]]


def path_groups(
    model, tokens: Int[Tensor, "batch pos"], patterns: list[Float[Tensor, "batch head query key"]]
) -> Float[Tensor, "group batch pos d_model"]:  # fmt: skip
    """What each of `GROUPS` adds to the final stream of two layers (Elhage et al. 2021, "Path Expansion of Logits")."""
    embed = model.W_E[tokens]
    by_first = layer_output(patterns[0], embed, model.W_V[0], model.W_O[0])
    by_second, by_both = (layer_output(patterns[1], x, model.W_V[1], model.W_O[1]) for x in (embed, by_first))
    return torch.stack([embed, by_first, by_second, by_both])


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


def sum_losses(
    groups: Float[Tensor, "group pos d_model"], W_U: Float[Tensor, "d_model d_vocab"], targets: Int[Tensor, " pos"],
    sums: Float[Tensor, "sum group"],
) -> Float[Tensor, "sum pos"]:  # fmt: skip
    """Loss in nats of each sum of groups, a row of 1s and 0s in `sums`; logits add, so each is unembedded only once."""
    losses = []
    for part, target in zip(groups.split(TILE, dim=1), targets.split(TILE)):
        logits = einsum(sums, part @ W_U, "sum group, group pos d_vocab -> sum pos d_vocab")
        of_target = logits.gather(-1, target.expand(len(sums), -1)[..., None]).squeeze(-1)
        losses.append(logits.logsumexp(-1) - of_target)
    return torch.cat(losses, dim=1)


def measure_sums(
    model, rows: Int[Tensor, "window pos_and_one"], sums: Mapping[str, Sequence[str]] = SUMS,
    patterns_of: Int[Tensor, "window pos_and_one"] | None = None, batch: int = 8,
) -> dict[str, Float[Tensor, " window"]]:  # fmt: skip
    """Mean loss in nats of each window, for each sum over some of `GROUPS`; by default those of `SUMS`.

    Patterns may be those of other windows, `patterns_of`. Raises ValueError for a group that there is not, and for a
    model that has not two layers.
    """
    if unknown := {group for members in sums.values() for group in members} - set(GROUPS):
        raise ValueError(f"there is no group {min(unknown)!r}: the groups are {', '.join(map(repr, GROUPS))}")
    chosen = torch.tensor([[group in members for group in GROUPS] for members in sums.values()]).to(model.W_U)
    losses = []
    for part, other in zip(rows.split(batch), (rows if patterns_of is None else patterns_of).split(batch)):
        groups = path_groups(model, part[:, :-1], two_patterns(model, other[:, :-1])).flatten(1, 2)
        losses.append(sum_losses(groups, model.W_U, part[:, 1:].flatten(), chosen).unflatten(1, (len(part), -1)))
    return dict(zip(sums, torch.cat(losses, dim=1).mean(-1)))


def worths(losses: Mapping[str, Float[Tensor, " window"]], d_vocab: int) -> dict[str, Float[Tensor, " window"]]:
    """Nats won by each order, and by each layer's own paths of order 1 alone and given the other's, from `SUMS`.

    Order 0 is compared with the loss of a uniform guess, ln d_vocab (Elhage et al. 2021, "Term Importance Analysis").
    """
    order_0, order_1, order_2, with_0, with_1 = (losses[name] for name in list(SUMS)[:5])
    return {
        "order 0, below uniform": math.log(d_vocab) - order_0, "order 1, more": order_0 - order_1,
        "order 2, more": order_1 - order_2, "layer 0, alone": order_0 - with_0,
        "layer 0, given layer 1": with_1 - order_1, "layer 1, alone": order_0 - with_1,
        "layer 1, given layer 0": with_0 - order_1,
    }  # fmt: skip


def added_loss(
    log_probs: Float[Tensor, "pos d_vocab"], targets: Int[Tensor, " pos"], z: Float[Tensor, "write read pos d_head"],
    readout: Float[Tensor, "read d_head d_vocab"],
) -> Float[Tensor, "write read pos"]:  # fmt: skip
    """How the loss changes, in nats, if one term's logits, z @ readout, are added: exactly. Give -z to leave it out.

    Each change is log Σ p exp(δ) - δ[target], for logits δ and the probabilities p that there are without them.
    """
    total = lambda z, W: torch.addmm(log_probs, z, W).exp_().sum(-1)
    totals = torch.stack([torch.stack([total(z, W) for z, W in zip(terms, readout)]) for terms in z])
    return totals.log() - einsum(z, readout[..., targets], "write read pos d_head, read d_head pos -> write read pos")


def loss_slope(
    log_probs: Float[Tensor, "pos d_vocab"], targets: Int[Tensor, " pos"], z: Float[Tensor, "write read pos d_head"],
    readout: Float[Tensor, "read d_head d_vocab"],
) -> Float[Tensor, "write read pos"]:  # fmt: skip
    """How fast the loss changes, in nats, as one term's logits, z @ readout, fade in: `added_loss` to first order.

    Each slope is Σ p δ - δ[target]. The mean Σ p readout serves all terms, so that none needs logits of its own.
    """
    mean = einsum(log_probs.exp(), readout, "pos d_vocab, read d_head d_vocab -> read d_head pos")
    return einsum(z, mean - readout[..., targets], "write read pos d_head, read d_head pos -> write read pos")


def virtual_effects(
    model, rows: Int[Tensor, "window pos_and_one"], every: int = 16
) -> tuple[Float[Tensor, "side write read window"], Float[Tensor, "side write read window"]]:
    """Change of each window's loss in nats, by virtual head, as two parts to add: its slope, and all beyond the slope.

    Side 0: the term alone is left out of the full sum. Side 1: it alone is added to the paths of order 0 and 1. Slopes
    are means over all positions; what is beyond them is computed exactly at each `every`-th position, so that `every=1`
    is exact throughout. Raises ValueError for a model that has not two layers.
    """
    readout, some, slopes, beyond = model.W_O[1] @ model.W_U, slice(every - 1, None, every), [], []
    for row in rows:
        patterns = two_patterns(model, row[None, :-1])
        groups = path_groups(model, row[None, :-1], patterns)[:, 0]
        virtual = virtual_values(model, row[None, :-1], patterns)[:, :, 0]
        for resid, z in ((groups.sum(0), -virtual), (groups[:3].sum(0), virtual)):
            log_probs = (resid @ model.W_U).log_softmax(-1)
            slope = loss_slope(log_probs, row[1:], z, readout)
            exact = added_loss(log_probs[some], row[1:][some], z[..., some, :], readout)
            slopes.append(slope.mean(-1))
            beyond.append((exact - slope[..., some]).mean(-1))
    by_side = lambda means: rearrange(torch.stack(means), "(window side) ... -> side ... window", side=2)
    return by_side(slopes), by_side(beyond)
