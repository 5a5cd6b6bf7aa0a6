"""An exercise about equals compared with equals: what a kind of position gained, with the same tokens elsewhere (12.5)."""

from collections.abc import Callable

import torch
from torch import Tensor


def texts_with_changes() -> list[tuple]:
    """Changes that depend on the token and on the kind; tokens that come on one side only; unequal shares."""
    cases = []
    for seed, n_tokens in enumerate((6, 4)):
        generator = torch.Generator().manual_seed(seed)
        came = torch.randint(1, n_tokens + 1, (5, 12), generator=generator)
        likely = torch.rand(n_tokens + 1, generator=generator)
        kind = torch.rand(5, 12, generator=generator) < likely[came]
        kind[came == 1], kind[came == 2] = True, False  # on one side only
        change = torch.randn(5, 12, generator=generator) + came * 0.7 - 0.4 * kind
        cases.append((change, kind, came))
    return cases


def sides(change: Tensor, kind: Tensor, came: Tensor) -> dict[int, tuple[list[float], list[float]]]:
    """For each token, the changes on positions of the kind, and those elsewhere."""
    found: dict[int, tuple[list[float], list[float]]] = {}
    for value, inside, token in zip(change.flatten().tolist(), kind.flatten().tolist(), came.flatten().tolist()):
        found.setdefault(token, ([], []))[0 if inside else 1].append(value)
    return found


def mean(values: list[float]) -> float:
    """The mean of some numbers."""
    return sum(values) / len(values)


def weighted(change: Tensor, kind: Tensor, came: Tensor, weigh: Callable[[list, list], float]) -> float:
    """The difference for each token that came on both sides, averaged with some weight."""
    both = [(inside, outside) for inside, outside in sides(change, kind, came).values() if inside and outside]
    weights = [weigh(*pair) for pair in both]
    return sum(w * (mean(a) - mean(b)) for w, (a, b) in zip(weights, both)) / sum(weights)


def slow_match(change: Tensor, kind: Tensor, came: Tensor) -> float:
    """Token by token."""
    return weighted(change, kind, came, lambda inside, outside: len(inside))


def among_both(change: Tensor, kind: Tensor, came: Tensor) -> float:
    """Tokens of one side are left out, but the others are not matched."""
    both = [pair for pair in sides(change, kind, came).values() if all(pair)]
    return mean([x for inside, _ in both for x in inside]) - mean([x for _, outside in both for x in outside])


def all_inside(change: Tensor, kind: Tensor, came: Tensor) -> float:
    """The whole mean of the kind, less what its tokens have elsewhere where there is such a place."""
    both = [pair for pair in sides(change, kind, came).values() if all(pair)]
    elsewhere = sum(len(inside) * mean(outside) for inside, outside in both) / sum(len(inside) for inside, _ in both)
    return change[kind].mean().item() - elsewhere


MATCH_MISTAKES = {
    "that is the plain difference of two means: the two sides hold different tokens, so compare each token with itself":
        lambda c, k, t: (c[k].mean() - c[~k].mean()).item(),
    "the sign is flipped: what changes on positions of the kind, minus what changes elsewhere":
        lambda c, k, t: -slow_match(c, k, t),
    "every token counts the same in your mean: it counts as often as it came on positions of the kind":
        lambda c, k, t: weighted(c, k, t, lambda inside, outside: 1),
    "your weights are how often a token came elsewhere: count its positions of the kind":
        lambda c, k, t: weighted(c, k, t, lambda inside, outside: len(outside)),
    "your weights are how often a token came in all: count its positions of the kind only":
        lambda c, k, t: weighted(c, k, t, lambda inside, outside: len(inside) + len(outside)),
    "you left out the tokens of one side, but the two means are still of different tokens: compare token by token":
        among_both,
    "a token that came only on positions of the kind is still in one of your means: leave it out of both":
        all_inside,
    "that is the mean change on positions of the kind alone: subtract that of the same tokens elsewhere":
        lambda c, k, t: c[k].mean().item(),
    "the sum was not divided by the weights":
        lambda c, k, t: sum(
            len(a) * (mean(a) - mean(b)) for a, b in sides(c, k, t).values() if a and b
        ),
}  # fmt: skip
