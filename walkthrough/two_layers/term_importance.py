"""Which paths matter: the loss of sums of some paths only, while attention patterns are held fixed."""

import math
from collections.abc import Mapping, Sequence

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough import behaviour, interventions, paths
from walkthrough.architecture import ADDED, LOGITS, STREAM, leaves_out

GROUPS = ("direct", "layer 0", "layer 1", "virtual")  # the direct path, each layer's heads alone, all virtual heads
SUMS = {  # of groups: the three orders, either layer alone over the direct path, and all but the direct path
    "order 0": ("direct",), "up to order 1": ("direct", "layer 0", "layer 1"), "up to order 2": GROUPS,
    "with layer 0": ("direct", "layer 0"), "with layer 1": ("direct", "layer 1"), "no direct path": GROUPS[1:],
}  # fmt: skip
TILE = 64  # positions whose logits are held at once: 64 rows of 4096 float32 numbers fit the cache of a core


@leaves_out(*STREAM, "value_biases", "MLPs", "patterns")
def ordered_losses(model, rows: Int[Tensor, "batch pos_and_one"]) -> Float[Tensor, "order batch pos"]:
    """Loss in nats of all paths through at most 0, 1, 2, … heads, attention patterns held fixed; a run for each order.

    `rows` are one longer than what the model is given (Elhage et al. 2021, "Term Importance Analysis").
    """
    tokens, layers = rows[:, :-1], range(model.cfg.n_layers)
    _, cache = model.run_with_cache(tokens)
    hooks = paths.freeze([cache["pattern", layer] for layer in layers])
    kept = {}

    def pass_on(z, hook):
        """What the heads gave in the run before, or zero; what they give now is kept for the next run."""
        before = kept.get(hook.name, torch.zeros_like(z))
        kept[hook.name] = z.clone()
        return before

    hooks += [(f"blocks.{layer}.attn.hook_z", pass_on) for layer in layers]
    runs = [model.run_with_hooks(tokens, fwd_hooks=hooks) for _ in range(model.cfg.n_layers + 1)]
    return torch.stack([behaviour.loss_per_position(logits, rows) for logits in runs])


def layer_outputs(
    pattern: Float[Tensor, "batch head query key"], resid: Float[Tensor, "batch pos d_model"],
    W_V: Float[Tensor, "head d_model d_head"], W_O: Float[Tensor, "head d_head d_model"],
) -> Float[Tensor, "batch query d_model"]:  # fmt: skip
    """`paths.layer_output` for a batch: what all heads of a layer together add, from whatever stream they read.

    The sum over heads of the paper's (A ⊗ W_OV) x (Elhage et al. 2021, "Attention Heads as Information Movement").
    """
    values = einsum(resid, W_V, "batch key read, head read d_head -> batch head key d_head")
    return einsum(pattern @ values, W_O, "batch head query d_head, head d_head write -> batch query write")


def two_patterns(model, tokens: Int[Tensor, "batch pos"]) -> list[Float[Tensor, "batch head query key"]]:
    """Attention patterns of both layers in the model's own run; ValueError for a model that has not two layers."""
    if model.cfg.n_layers != 2:
        raise ValueError(f"virtual heads here are pairs of heads: use a model of 2 layers, not of {model.cfg.n_layers}")
    with model.hooks(fwd_hooks=[behaviour.LAST_LOGITS]):
        _, cache = model.run_with_cache(tokens)
    return [cache["pattern", 0], cache["pattern", 1]]


@leaves_out(*STREAM, *ADDED, *LOGITS, "groups")
def path_groups(
    model, tokens: Int[Tensor, "batch pos"], patterns: list[Float[Tensor, "batch head query key"]]
) -> Float[Tensor, "group batch pos d_model"]:  # fmt: skip
    """What each of `GROUPS` adds to the final stream of two layers (Elhage et al. 2021, "Path Expansion of Logits")."""
    embed = model.W_E[tokens]
    by_first = layer_outputs(patterns[0], embed, model.W_V[0], model.W_O[0])
    by_second = layer_outputs(patterns[1], embed, model.W_V[1], model.W_O[1])
    by_both = layer_outputs(patterns[1], by_first, model.W_V[1], model.W_O[1])
    return torch.stack([embed, by_first, by_second, by_both])


def sum_losses(
    groups: Float[Tensor, "group pos d_model"], W_U: Float[Tensor, "d_model d_vocab"], targets: Int[Tensor, " pos"],
    sums: Float[Tensor, "sum group"],
) -> Float[Tensor, "sum pos"]:  # fmt: skip
    """Loss in nats of each sum of groups, a row of weights in `sums`; logits add, so each is unembedded only once."""
    losses = []
    for part, target in zip(groups.split(TILE, dim=1), targets.split(TILE)):
        logits = einsum(sums, part @ W_U, "sum group, group pos d_vocab -> sum pos d_vocab")
        log_probs = logits.log_softmax(-1)  # half the time of a logsumexp
        losses.append(-log_probs.gather(-1, target.expand(len(sums), -1)[..., None]).squeeze(-1))
    return torch.cat(losses, dim=1)


@leaves_out(*STREAM, *ADDED, *LOGITS, "groups")
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


@leaves_out(*STREAM, *ADDED, *LOGITS, "groups")
def current_token_losses(model, rows: Int[Tensor, "window pos_and_one"]) -> dict[str, Float[Tensor, " window"]]:
    """Loss in nats of sums in which a path may, or may not, read the current token; patterns held fixed.

    Besides the direct path, whatever heads read at their own position depends on the current token alone: these paths
    are "own". "rest" is all others. Raises ValueError for a model that has not two layers.
    """
    sums = {"direct": (1, 0, 0), "own": (0, 1, 0), "direct, own": (1, 1, 0), "direct, rest": (1, 0, 1),
            "own, rest": (0, 1, 1), "rest": (0, 0, 1), "direct, own, rest": (1, 1, 1)}  # fmt: skip
    chosen, losses = torch.tensor(list(sums.values())).to(model.W_U), []
    for row in rows:
        tokens = row[None, :-1]
        patterns = two_patterns(model, tokens)
        direct, *heads = path_groups(model, tokens, patterns)[:, 0]
        own_position = [pattern * torch.eye(pattern.shape[-1]).to(pattern) for pattern in patterns]
        own = sum(path_groups(model, tokens, own_position)[1:, 0])
        groups = torch.stack([direct, own, sum(heads) - own])
        losses.append(sum_losses(groups, model.W_U, row[1:], chosen).mean(-1))
    return dict(zip(sums, torch.stack(losses, -1)))


@leaves_out(*STREAM, *ADDED, *LOGITS, "groups")
def fading(
    model, rows: Int[Tensor, "window pos_and_one"], sizes: Float[Tensor, " size"]
) -> Float[Tensor, "group size window"]:  # fmt: skip
    """Mean loss in nats of each window, if one of `GROUPS` is multiplied by each size while the other three stay.

    Size 0 leaves the group out, size 1 is the model. Raises ValueError for a model that has not two layers.
    """
    weights = torch.ones(len(GROUPS), len(sizes), len(GROUPS)).to(model.W_U)
    for group in range(len(GROUPS)):
        weights[group, :, group] = sizes
    losses = []
    for row in rows:
        tokens = row[None, :-1]
        groups = path_groups(model, tokens, two_patterns(model, tokens))[:, 0]
        losses.append(sum_losses(groups, model.W_U, row[1:], weights.flatten(0, 1)).mean(-1))
    return torch.stack(losses, -1).unflatten(0, (len(GROUPS), len(sizes)))


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


@leaves_out("patterns")
def silence_costs(
    model, rows: Int[Tensor, "window pos_and_one"], sets: Sequence[Sequence[interventions.Head]],
    others: Int[Tensor, "window pos_and_one"] | None = None,
) -> Float[Tensor, "2 set window"]:  # fmt: skip
    """What zero-ablating each set of heads costs each window, in nats: first with patterns frozen, then free.

    With `others`, the heads get what they put out on these windows instead of zero (resample ablation). Raises ValueError for a head that the model does not have, and for a model that has not two layers.
    """
    tokens = rows[:, :-1]
    frozen = paths.freeze(two_patterns(model, tokens))

    def loss(hooks):
        """Mean loss of each window in a run with these hooks."""
        return behaviour.loss_per_position(model.run_with_hooks(tokens, fwd_hooks=hooks), rows).mean(-1)

    if others is None:
        cuts = [interventions.ablate(model, heads) for heads in sets]
    else:
        cuts = [interventions.swap(model, heads, others[:, :-1]) for heads in sets]
    with_frozen = torch.stack([loss(cut + frozen) for cut in cuts])
    with_free = torch.stack([loss(cut) for cut in cuts])
    return torch.stack([with_frozen, with_free]) - loss([])
