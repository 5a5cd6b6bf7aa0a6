"""A question of the explorers' pages: what the model expects if heads are ablated, or patterns are kept."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch

from walkthrough.interventions import Head, Hooks, ablate, on_head
from walkthrough.widgets.explorer import named, prompt_tokens

LIKELY = 5  # tokens of each run that are shown, at each position
SWEPT = 64  # heads that are ablated one after the other, at most


def heads_of(models: dict[str, Any]) -> list[list]:
    """How many heads each layer of each model has, by the model's name: `[["", [8, 8]]]`."""
    return [[name, [model.cfg.n_heads] * model.cfg.n_layers] for name, model in models.items()]


def changing(model: Any, ids: torch.Tensor, ablated: Sequence[Head], frozen: Sequence[Head]) -> tuple[Any, Hooks]:
    """The logits [batch pos d_vocab] of the run as it is, and hooks: ablated heads add nothing, frozen ones look as in that run.

    A frozen head's values are those of the changed run: only its attention stays (Olsson et al. 2022, "pattern-preserving
    ablation", if all are frozen). Raises ValueError for a head that the model does not have, and for a frozen pattern where
    no hook can change one.
    """
    hooks = ablate(model, ablated)
    names = {name_of(layer) for layer, _ in frozen}
    kept: dict[str, torch.Tensor] = {}
    hooks += [
        on_head(model, (layer, head), "pattern", lambda _, layer=layer, head=head: kept[name_of(layer)][:, head])
        for layer, head in frozen
    ]
    logits, cache = model.run_with_cache(ids, names_filter=lambda name: name in names)
    kept |= {name: cache[name] for name in names}
    return logits, hooks


def name_of(layer: int) -> str:
    """Where a layer's patterns pass."""
    return f"blocks.{layer}.attn.hook_pattern"


def before_and_after(
    model: Any, ids: torch.Tensor, ablated: Sequence[Head], frozen: Sequence[Head] = ()
) -> tuple[dict[str, Any], Hooks]:
    """What one prompt's run as it is and the changed one expect after each position; and the hooks that change it.

    "words" are the five likeliest tokens of the run as it is, those of the changed run that are not among them, and the token
    that really comes, whose place in the list is "next" (None after the last position); "before" and "after" are their
    probabilities. "loss" has a pair of numbers for each position but the last, in nats, and "mean" their means.
    """
    plain, hooks = changing(model, ids, ablated, frozen)
    both = torch.stack([plain[0], model.run_with_hooks(ids, fwd_hooks=hooks)[0]]).log_softmax(-1)  # [run pos d_vocab]
    likeliest, really = both.topk(LIKELY).indices.tolist(), ids[0, 1:]
    found: dict[str, Any] = {"words": [], "before": [], "after": [], "next": []}
    for position, (first, then) in enumerate(zip(*likeliest, strict=True)):
        comes = really[position : position + 1].tolist()
        tokens = list(dict.fromkeys([*first, *then, *comes]))
        before, after = rounded(both[:, position, tokens].exp())
        found["words"].append(named(model, torch.tensor(tokens)))
        found["before"].append(before)
        found["after"].append(after)
        found["next"].append(tokens.index(comes[0]) if comes else None)
    losses = -both[:, :-1].gather(-1, really.expand(2, -1)[..., None])[..., 0].double()
    mean = rounded(losses.mean(-1)) if len(really) else None
    return found | {"loss": rounded(losses.T), "mean": mean}, hooks


def each_ablated(model: Any, ids: torch.Tensor, frozen: Sequence[Head] = ()) -> dict[str, Any]:
    """Probabilities with each head ablated alone, the same patterns frozen each time: "after", [head][pos][token].

    "words" are, after each position, the five likeliest tokens of the run as it is, and the one that really comes (the
    likeliest again, after the last); "before" is what they have in that run. Raises ValueError for a model of more than 64
    heads: that would take minutes.
    """
    heads = [(layer, head) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]
    if len(heads) > SWEPT:
        raise ValueError(f"{len(heads)} heads one after the other take too long: ablate those that you choose")
    plain, hooks = changing(model, ids, [], frozen)
    likely = plain[0].topk(LIKELY).indices
    tokens = torch.cat([likely, torch.cat([ids[0, 1:], likely[-1:, 0]])[:, None]], dim=1)
    after = (model.run_with_hooks(ids, fwd_hooks=[*hooks, *ablate(model, [head])])[0] for head in heads)
    words = [named(model, row) for row in tokens]
    before, *shares = (rounded(run.softmax(-1).gather(-1, tokens)) for run in chain(plain, after))
    return {"words": words, "before": before, "after": shares}


def rounded(values: torch.Tensor) -> list:
    """Values with four decimals."""
    return values.double().mul(10_000).round().div(10_000).tolist()


def answered(model: Any, question: dict[str, Any]) -> tuple[Any, Hooks]:
    """The answer to a page's question about changed runs of a prompt, and the hooks that change the one it is about."""
    ids = prompt_tokens(model, question["prompt"])
    ablated, frozen = ([tuple(head) for head in question.get(name, [])] for name in ("ablate", "freeze"))
    if "each" in question:
        return each_ablated(model, ids, frozen), []
    return before_and_after(model, ids, ablated, frozen)
