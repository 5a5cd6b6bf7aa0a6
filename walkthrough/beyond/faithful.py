"""Is an explanation of a behaviour true? Its heads taken away, left alone, and an honest try to refute it.

A behaviour here is a skip-trigram: a source token somewhere before makes an out likelier after a destination. An
explanation of it is a set of heads, at the destination.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.interventions import Head, Hooks, on_head
from walkthrough.one_layer.skip_trigrams import rise

END = ("unembed.hook_in", lambda resid, hook: resid[:, -1:])  # logits of other positions are not needed


class Twins(NamedTuple):
    """The same contexts with the source in them, and with a random token in its place; both end in the destination."""

    given: Int[Tensor, "context pos"]
    without: Int[Tensor, "context pos"]
    place: Int[Tensor, " context"]


def twin_prompts(
    source: int, destination: int, windows: Int[Tensor, "window pos"], pool: Int[Tensor, " choice"],
    n_contexts: int = 200, length: int = 32, seed: int = 0,
) -> Twins:  # fmt: skip
    """Contexts are starts of windows that lack the source; it stands 3 to 20 tokens before the destination.

    Raises ValueError for too few windows, and for windows or contexts that are too short.
    """
    lacking = windows[(windows[:, :length] != source).all(1), :length].long()
    if len(lacking) < n_contexts or not 21 < length <= windows.shape[1]:
        have = f"{len(lacking)} windows of {windows.shape[1]} tokens lack the source"
        raise ValueError(f"{have}: pass at least {n_contexts}, a length above 21, and windows no shorter than that")
    generator = torch.Generator().manual_seed(seed)
    without = lacking[torch.randperm(len(lacking), generator=generator)[:n_contexts]]
    place = length - 1 - torch.randint(3, 21, (n_contexts,), generator=generator)
    others, rows = pool[pool != source], torch.arange(n_contexts)
    without[:, -1] = destination
    given = without.clone()
    given[rows, place] = source
    without[rows, place] = others[torch.randint(len(others), (n_contexts,), generator=generator)]
    return Twins(given, without, place)


def end_log_probs(model, prompts: Int[Tensor, "context pos"], hooks: Sequence = ()) -> Float[Tensor, "context d_vocab"]:
    """Log-probabilities in nats after the last token of each prompt; hooks change the run."""
    return model.run_with_hooks(prompts, fwd_hooks=[*hooks, END])[:, 0].log_softmax(-1)


def term_rise(model, twins: Twins, out: int, hooks: Sequence = ()) -> Float[Tensor, " context"]:
    """By how many nats the source raises log P(out) at the end, in each context; hooks change both runs."""
    return rise(end_log_probs(model, twins.given, hooks), end_log_probs(model, twins.without, hooks), [out])


def end_outputs(model, prompts: Int[Tensor, "context pos"]) -> Float[Tensor, "layer context head d_head"]:
    """What each head has averaged at the last position, z, before W_O."""
    names = [f"blocks.{layer}.attn.hook_z" for layer in range(model.cfg.n_layers)]
    with model.hooks(fwd_hooks=[END]):
        cache = model.run_with_cache(prompts, names_filter=lambda name: name in names)[1]
    return torch.stack([cache[name][:, -1] for name in names])


def put_at_end(model, heads: Sequence[Head], z: Float[Tensor, "layer context head d_head"]) -> Hooks:
    """Hooks that give heads another output at the last position only; one context's serves all.

    Raises ValueError for a head that the model does not have.
    """

    def put(layer: int, head: int):
        """The head's own output, but for the last position."""

        def change(own: Tensor) -> Tensor:
            """The new output stands last."""
            return torch.cat([own[:, :-1], z[layer, :, head].expand(len(own), -1)[:, None]], 1)

        return change

    return [on_head(model, (layer, head), "z", put(layer, head)) for layer, head in heads]


def other_heads(model, heads: Sequence[Head]) -> list[Head]:
    """All heads of the model that are not among these: the complement of an explanation."""
    every = [(layer, head) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]
    return [head for head in every if head not in heads]


def faithfulness(model, twins: Twins, out: int, heads: Sequence[Head]) -> dict[str, Float[Tensor, " context"]]:
    """How much of a term's rise needs its heads, and how much of it they give alone, in nats and in each context.

    "full" is the rise in the model's own runs. "necessary, resampled": what is lost if the heads, at the destination,
    put out what they do without the source; "necessary, mean": what is lost if they put out their mean over the
    contexts without it. "sufficient, resampled": the rise if they alone know of the source, all other heads at the
    destination doing as without it; "sufficient, mean": if all other heads put out their mean. An explanation that is
    the whole truth has all four equal to the full rise (zero-, mean- and resample-ablation are told apart in Chan et
    al. 2022, "Causal Scrubbing").
    """
    before, after = (end_outputs(model, prompts) for prompts in (twins.without, twins.given))
    mean, rest = before.mean(1, keepdim=True), other_heads(model, heads)
    without, given = (end_log_probs(model, prompts) for prompts in (twins.without, twins.given))
    full = rise(given, without, [out])
    left = rise(end_log_probs(model, twins.given, put_at_end(model, heads, before)), without, [out])
    alone = put_at_end(model, heads, after) + put_at_end(model, rest, before)
    return {
        "full": full, "necessary, resampled": full - left,
        "necessary, mean": full - term_rise(model, twins, out, put_at_end(model, heads, mean)),
        "sufficient, resampled": rise(end_log_probs(model, twins.without, alone), without, [out]),
        "sufficient, mean": term_rise(model, twins, out, put_at_end(model, rest, mean)),
    }  # fmt: skip


def refute(
    model, twins: Twins, out: int, pool: Int[Tensor, " choice"], tries: int = 60, seed: int = 0
) -> Float[Tensor, "2 context"]:
    """The rise in each context before and after an adversary has changed other tokens so as to make it small.

    Each try puts a random token of `pool` at a random place, not `<BOS>`, source or destination, and is kept where the
    rise becomes smaller. The explanation says that the rise does not depend on the rest of the context: if it can be
    brought to nothing, that is refuted.
    """
    generator = torch.Generator().manual_seed(seed)
    given, without, rows = twins.given.clone(), twins.without.clone(), torch.arange(len(twins.given))
    first = lowest = term_rise(model, twins, out)
    for _ in range(tries):
        place = torch.randint(1, given.shape[1] - 1, (len(given),), generator=generator)
        token = pool[torch.randint(len(pool), (len(given),), generator=generator)]
        token = torch.where(place == twins.place, given[rows, place], token)
        trial = Twins(given.clone(), without.clone(), twins.place)
        trial.given[rows, place] = token
        trial.without[rows, place] = torch.where(place == twins.place, without[rows, place], token)
        found = term_rise(model, trial, out)
        better = (found < lowest)[:, None]
        given, without = torch.where(better, trial.given, given), torch.where(better, trial.without, without)
        lowest = torch.minimum(found, lowest)
    return torch.stack([first, lowest])
