"""What stops an attack, and what it costs on text that nobody attacks: checks of attention, weaker heads, small edits."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from walkthrough.beyond import editing
from walkthrough.beyond.bench import Bench, paired_cost, share_with_interval
from walkthrough.beyond.biases import Term, score_term
from walkthrough.beyond.removals import removal
from walkthrough.beyond.weaknesses import Targets, attack, in_order, won_within
from walkthrough.interventions import Head, Hooks, ablate, on_head

Defence = Callable[[Int[Tensor, "batch pos"]], Hooks]  # hooks for these prompts


def matched_only(model, heads: Sequence[Head], n_match: int) -> Defence:
    """A defence: induction heads may look only at keys before which the last `n_match` tokens stand, as they do now.

    What they would have paid other keys goes to `<BOS>`. Returns a function of the prompts that returns hooks.
    """

    def hooks_for(tokens: Int[Tensor, "batch pos"]) -> Hooks:
        """The hooks for these prompts."""
        allowed = follows_match(tokens, n_match)
        return [(f"blocks.{layer}.attn.hook_pattern", keep(layer, allowed)) for layer in {at for at, _ in heads}]

    def keep(layer: int, allowed: Bool[Tensor, "batch query key"]):
        """What is done to the patterns of a layer."""
        own = [head for at, head in heads if at == layer]

        def change(pattern, hook):
            """Keys that are not allowed get nothing, and `<BOS>` gets what they had."""
            pattern = pattern.clone()
            pattern[:, own] = kept = pattern[:, own] * allowed[:, None]
            pattern[:, own, :, 0] += 1 - kept.sum(-1)
            return pattern

        return change

    return hooks_for


def follows_match(tokens: Int[Tensor, "batch pos"], n_match: int) -> Bool[Tensor, "batch query key"]:
    """Whether the `n_match` tokens before a key are the query's last `n_match`, its own among them; `<BOS>` may always be seen."""
    n_pos = tokens.shape[1]
    same = tokens[:, :, None] == tokens[:, None]  # [batch query token]
    allowed = torch.ones(len(tokens), n_pos, n_pos, dtype=torch.bool)
    for back in range(n_match):
        shifted = torch.zeros_like(allowed)
        shifted[:, back:, back + 1 :] = same[:, : n_pos - back, : n_pos - back - 1]
        allowed &= shifted
    allowed &= torch.ones(n_pos, n_pos, dtype=torch.bool).tril()
    allowed[:, :, 0] = True
    return allowed


def cost_of_defence(
    model, rows: Int[Tensor, "window pos_and_one"], hooks_for: Defence, before: Float[Tensor, " window"]
) -> list[float]:
    """What a defence costs on text that nobody attacks, in nats a token, and its standard error."""
    losses = []
    for part in rows.split(8):
        with model.hooks(fwd_hooks=hooks_for(part[:, :-1])):
            losses.append(editing.losses_by_window(model, part))
    return paired_cost(torch.cat(losses), before)


def all_defences(model, heads: Sequence[Head]) -> dict[str, Defence]:
    """Every defence against hijacks that is tried: none, what is asked of a key, and weaker induction heads."""
    halved = [on_head(model, head, "z", lambda z: z / 2) for head in heads]
    deleted = ablate(model, heads)
    guards = {f"{n} must match": matched_only(model, heads, n) for n in (1, 2, 3)}
    return {"none": lambda prompts: [], **guards, "halved": lambda prompts: halved, "deleted": lambda prompts: deleted}


def defended(
    bench: Bench, targets: Targets, predicted: Mapping[str, Sequence[Int[Tensor, "target slot"]]], heads: Sequence[Head]
) -> dict[str, dict]:
    """For each defence: the success of each predicted filling by itself, and of an attacker who tries all; and the cost."""
    model, found = bench.model, {}
    before = editing.losses_by_window(model, bench.rows)
    for name, hooks_for in all_defences(model, heads).items():
        success = {}
        for kind, fillings in predicted.items():
            calls = [attack(model, targets, in_order([each]), 1, hooks_for) for each in fillings]
            won = torch.stack([won_within(each, 1) for each in calls])
            success[kind] = {"each": won.float().mean(1).tolist(), "any": share_with_interval(won.any(0))}
        found[name] = {"success": success, "cost": cost_of_defence(model, bench.rows, hooks_for, before)}
    return found


def edited_away(
    bench: Bench, terms: Sequence[Term], targets: Targets, fillings: Sequence[Int[Tensor, "target slot"]]
) -> dict:
    """Every crossed term removed by its own rank-one edit, all at once: what the attack still wins, and the cost."""
    model = bench.model
    moments = [editing.stream_moment(model, layer, bench.contexts[:60, :-1]) for layer in range(model.cfg.n_layers)]
    layers = [score_term(model, bench.share, term).layer.item() for term in terms]
    edits = [removal(model, bench.share, term, moments[layer]) for term, layer in zip(terms, layers)]
    before = editing.losses_by_window(model, bench.rows)
    with editing.edited(model, *edits):
        won = won_within(attack(model, targets, in_order(fillings), len(fillings)), len(fillings))
        cost = paired_cost(editing.losses_by_window(model, bench.rows), before)
    return {"success": share_with_interval(won), "cost": cost, "edits": len(edits)}
