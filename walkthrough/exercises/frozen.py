"""The judge of exercise 3.5: do these hooks force the stored patterns on any run?"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from walkthrough.exercises.looking import causal, draws

N_HEADS, N_POS = 4, 6  # the heads are those of `models.tiny`


def stored_patterns() -> list[tuple[list[Tensor]]]:
    """Random patterns of two layers for one prompt, of three layers for two prompts, and of one layer."""
    return [
        ([causal(2 * x).softmax(-1) for x in draws(seed, *[(batch, N_HEADS, N_POS, N_POS)] * n_layers)],)
        for seed, (n_layers, batch) in enumerate([(2, 1), (3, 2), (1, 1)])
    ]


def forced(hooks: Any, patterns: list[Tensor]) -> str | None:
    """What is wrong with hooks that should force these patterns on every run; None if nothing is."""
    from walkthrough import models

    model = models.tiny(len(patterns), seed=1)
    if complaint := badly_formed(hooks, len(patterns), model.hook_dict):
        return complaint
    used = patterns_of_a_run(model, hooks, len(patterns[0]))
    if isinstance(used, str):
        return used
    if not all(map(close, used, patterns)):
        return wrong_patterns(used, patterns, patterns_of_a_run(model, [], len(patterns[0])))
    if len(patterns[0]) == 1:
        used = patterns_of_a_run(model, hooks, 3)
        if isinstance(used, str) or not all(map(close, used, patterns)):
            return "one stored sequence must serve a batch of several prompts: return stored.expand_as(pattern)"
    return None


def badly_formed(hooks: Any, n_layers: int, known: dict) -> str | None:
    """What is wrong with the list itself, before anything is run."""
    pairs = list(hooks) if isinstance(hooks, Sequence) and not isinstance(hooks, str) else []
    if not pairs or not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
        return "return a list of pairs, one for each layer: the name of the hook, and the function to be called there"
    if any(isinstance(function, str) or not callable(function) for _, function in pairs):
        return "in each pair the name of the hook comes first, then the function itself, which is not called by you"
    names = [name for name, _ in pairs]
    if any(callable(name) for name in names):  # a filter on names is allowed: the run will show what it chooses
        return None
    missing = [name for layer in range(n_layers) if (name := f"blocks.{layer}.attn.hook_pattern") not in names]
    if missing and any("scores" in name for name in names):
        return (
            "those are the scores, before mask and softmax: force the pattern, at blocks.0.attn.hook_pattern and so on"
        )
    if missing and any(name.rpartition("_")[2] in ("z", "result", "out", "v") for name in names):
        return "that would freeze what the heads move as well: force the pattern alone, at blocks.0.attn.hook_pattern and so on"
    if missing:
        return f"{n_layers - len(missing)} of {n_layers} layers have a hook: there is none on {missing[0]!r}"
    unknown = [name for name in names if name not in known]
    return f"there is no hook {unknown[0]!r}: patterns were given for {n_layers} layer(s) only" if unknown else None


def patterns_of_a_run(model, hooks: Sequence[tuple], batch: int) -> list[Tensor] | str:
    """The patterns that a run on other text uses, layer by layer; or how it stopped."""
    tokens = torch.randint(1, 64, (batch, N_POS), generator=torch.Generator().manual_seed(7))
    try:
        with model.hooks(fwd_hooks=list(hooks)):
            cache = model.run_with_cache(tokens)[1]
    except Exception as error:
        if "'hook'" in str(error):
            return "a hook is called as force(pattern, hook=hook): give your function a second argument, called hook"
        return f"a run with your hooks stopped with {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    return [cache[f"blocks.{layer}.attn.hook_pattern"] for layer in range(model.cfg.n_layers)]


def close(used: Tensor, stored: Tensor) -> bool:
    """Equal, where one stored sequence may stand for several."""
    fits = used.shape[1:] == stored.shape[1:] and len(stored) in (1, len(used))
    return fits and torch.allclose(used, stored.expand_as(used), atol=1e-6)


def wrong_patterns(used: list[Tensor], patterns: list[Tensor], free: list[Tensor]) -> str:
    """How the patterns that were used differ from those that were stored."""
    if all(map(close, used, free)):
        return (
            "the run is as it was without hooks: a hook must return the stored pattern "
            "(`pattern = stored` only gives a name to it)"
        )
    if all(close(pattern, patterns[-1]) for pattern in used):
        return (
            "every layer got the pattern of the last one: a function that is made in a loop looks up the loop's "
            "variable when it is called, and then the loop is over; ask the hook, hook.layer()"
        )
    if all(close(pattern, patterns[0]) for pattern in used):
        return "every layer got the pattern of layer 0: hook.layer() tells which layer is asking"
    if all(map(close, used, patterns[::-1])):
        return "the layers are in the wrong order: patterns[0] is that of layer 0"
    if all(close(pattern.mT, stored) for pattern, stored in zip(used, patterns)):
        return "the patterns are transposed: return them as they were stored"
    layer = next(i for i, pair in enumerate(zip(used, patterns)) if not close(*pair))
    return f"layer {layer} used another pattern than the stored one: return the stored one, and nothing else"
