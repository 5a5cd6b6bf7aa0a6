"""Homework 5, tasks 3 and 4: what the sixth model and its controls do, measured in random text that a seed draws."""

import functools

import torch
from torch import Tensor

from walkthrough import interventions, models

Text = tuple[int, int]  # the seed of a set of prompts, and their length
Pair = tuple[int, int]  # the ids of a source and a trigger


@functools.cache
def loaded() -> list:
    """The sixth model, then its two controls."""
    return [models.load(name) for name in (*models.HOMEWORK, *models.SMALL)]


def texts(seed: int) -> list[Text]:
    """Two sets of prompts, of different lengths."""
    return [(seed, 30), (seed, 42)]


def prompts(text: Text, source: int | None, trigger: int) -> tuple[Tensor, Tensor]:
    """Rows of random tokens with the trigger last and the source, if there is one, at a place of each; the places."""
    (seed, length), rows = text, range(12)
    generator = torch.Generator().manual_seed(seed + length)
    tokens = torch.randint(1, 4096, (len(rows), length), generator=generator)
    places = torch.randint(1, length - 1, (len(rows),), generator=generator)
    tokens[:, 0], tokens[:, -1] = 0, trigger
    if source is not None:
        tokens[rows, places] = source
    return tokens, places


def log_probs(model, tokens: Tensor, hooks=()) -> Tensor:
    """What the model says at the last position, which alone is unembedded: [prompt d_vocab], in nats."""
    last = ("unembed.hook_in", lambda stream, hook: stream[:, -1:])
    return model.run_with_hooks(tokens, fwd_hooks=[*hooks, last])[:, 0].log_softmax(-1)


@functools.lru_cache(maxsize=2000)
def behind(which: int, text: Text, source: int | None, trigger: int) -> Tensor:
    """The mean distribution behind the trigger in one of the models, with the source before it or without: [d_vocab]."""
    return log_probs(loaded()[which], prompts(text, source, trigger)[0]).exp().mean(0)


def after(which: int, text: Text, pairs: list[tuple[int | None, int]]) -> Tensor:
    """The same for each (source, trigger): [pair d_vocab]."""
    return torch.stack([behind(which, text, *pair) for pair in pairs])


def moved(which: int, text: Text, pairs: list[Pair]) -> Tensor:
    """The share of probability that each pair's source brings to words that are then likely, against a random token."""
    with_it, without = after(which, text, pairs), after(which, text, [(None, trigger) for _, trigger in pairs])
    return ((with_it - without).clamp_min(0) * (with_it >= 0.1)).sum(-1)


@functools.lru_cache(maxsize=200)
def heads_at(text: Text, source: int, trigger: int) -> tuple[Tensor, Tensor]:
    """For each head of the sixth model: nats lost on the likeliest word without it, and its attention to the source."""
    model, (tokens, places) = loaded()[0], prompts(text, source, trigger)
    before, cache = log_probs(model, tokens), model.run_with_cache(tokens)[1]
    out, shape = before.exp().mean(0).argmax(), (model.cfg.n_layers, model.cfg.n_heads)
    costs, looks = torch.zeros(shape), torch.zeros(shape)
    for layer in range(shape[0]):
        looks[layer] = cache["pattern", layer][range(len(tokens)), :, -1, places].mean(0)
        for head in range(shape[1]):
            less = log_probs(model, tokens, interventions.ablate(model, [(layer, head)]))
            costs[layer, head] = (before - less)[:, out].mean()
    return costs, looks
