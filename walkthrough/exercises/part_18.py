"""The exercises of notebook 18: heads as forces, and the cosines of tokens."""

import math

import torch
from torch import Tensor

from walkthrough.exercises import pulling
from walkthrough.exercises.exercise import Exercise
from walkthrough.exercises.pulling import dot, noise

# 18.1 a force in three: see `pulling`


# 18.2 the common direction


def clouds() -> list[tuple]:
    """Tokens of several lengths with a drift, alone and in two texts; a direction of length 1."""
    drift = torch.tensor([2.0, 1.0, 0.0, -1.0])
    lengths = torch.linspace(0.5, 3, 6)[:, None]
    other = torch.tensor([0.6, 0.0, 0.8, 0.0])
    return [
        ((noise(6, 4) + drift) * lengths, drift / drift.norm()),
        ((noise(2, 6, 4, seed=1) + drift / 2) * lengths, other),
    ]


def slow_split(x: Tensor, direction: Tensor) -> Tensor:
    """Pair by pair, in every text."""
    if x.ndim == 3:
        return torch.stack([slow_split(text, direction) for text in x], 1)
    n, common, whole = len(x), 0.0, 0.0
    for i in range(n):
        for j in range(n):
            if i != j:
                lengths = math.sqrt(float(x[i] @ x[i]) * float(x[j] @ x[j]))
                common += float(x[i] @ direction) * float(x[j] @ direction) / lengths
                whole += float(x[i] @ x[j]) / lengths
    return torch.tensor([common, whole - common]) / (n * (n - 1))


def unit(x: Tensor) -> Tensor:
    """With length 1."""
    return x / x.norm(dim=-1, keepdim=True)


def over_pairs(along: Tensor, *, with_itself: bool = False) -> Tensor:
    """The mean product of two of these numbers."""
    n, own = along.shape[-1], along.square().sum(-1)
    whole = along.sum(-1).square()
    return whole / n**2 if with_itself else (whole - own) / (n * (n - 1))


def whole_cosine(x: Tensor) -> Tensor:
    """The mean cosine of different tokens."""
    n, total = x.shape[-2], unit(x).sum(-2).square().sum(-1)
    return (total - n) / (n * (n - 1))


def split(x: Tensor, common: Tensor) -> Tensor:
    """What is common, and what is left of the mean cosine."""
    return torch.stack([common, whole_cosine(x) - common])


def cosine_left(x: Tensor, direction: Tensor) -> Tensor:
    """The mean cosine of what is left of the tokens, brought to length 1 again."""
    return whole_cosine(x - (x @ direction)[..., None] * direction)


SPLIT_MISTAKES = {
    "bring the tokens to length 1 before you multiply by the direction: otherwise long tokens count more":
        lambda x, d: split(x, over_pairs(x @ d)),
    "a token makes no pair with itself: take the squares of its own numbers away, and divide by n (n - 1)":
        lambda x, d: split(x, over_pairs(unit(x) @ d, with_itself=True)),
    "the pairs of a token with itself are left out, but still counted: there are n (n - 1) pairs":
        lambda x, d: split(x, over_pairs(unit(x) @ d) * (x.shape[-2] - 1) / x.shape[-2]),
    "that is how far the tokens reach along the direction: a pair gives the PRODUCT of its two numbers":
        lambda x, d: split(x, (unit(x) @ d).mean(-1)),
    "that is the mean square, a token with itself: different tokens are asked for":
        lambda x, d: split(x, (unit(x) @ d).square().mean(-1)),
    "what is left must not be brought to length 1 again: then the two parts do not add up":
        lambda x, d: torch.stack([over_pairs(unit(x) @ d), cosine_left(x, d)]),
    "the two parts are swapped: first what the direction gives, then the rest":
        lambda x, d: split(x, over_pairs(unit(x) @ d))[[1, 0]],
    "the second part is the REST: the mean cosine without the first part":
        lambda x, d: torch.stack([over_pairs(unit(x) @ d), whole_cosine(x)]),
}  # fmt: skip


# 18.3 whose message


def arrivals() -> list[tuple]:
    """What arrives at each token, and what each token sends or is."""
    near = noise(6, 5, seed=2)
    return [
        (noise(5, 4), noise(5, 4, seed=1)),
        (near.roll(1, 0) * torch.linspace(0.2, 2, 6)[:, None] + 0.5 * noise(6, 5, seed=3), near),
    ]


def slow_alike(added: Tensor, vectors: Tensor) -> Tensor:
    """Token by token."""
    found = [torch.cosine_similarity(added[i].double(), vectors[i - 1].double(), dim=0) for i in range(1, len(added))]
    return torch.stack(found).sum() / len(found)


def alike(a: Tensor, b: Tensor) -> Tensor:
    """The mean cosine of rows."""
    return torch.cosine_similarity(a, b, dim=-1).mean()


ALIKE_MISTAKES = {
    "that compares each token with itself: shift one of the two by a place":
        lambda a, v: alike(a, v),
    "that compares each token with the NEXT one: the head looks back":
        lambda a, v: alike(a[:-1], v[1:]),
    "the first token has nothing before it: `roll` gives it the last one's vector, so leave it out":
        lambda a, v: alike(a, v.roll(1, 0)),
    "those are dot products: divide each by both lengths":
        lambda a, v: (a[1:] * v[:-1]).sum(-1).mean(),
    "divide by BOTH lengths, also by that of what arrives":
        lambda a, v: (a[1:] * unit(v[:-1])).sum(-1).mean(),
    "divide by BOTH lengths, also by that of the vectors before":
        lambda a, v: (unit(a[1:]) * v[:-1]).sum(-1).mean(),
    "that is the cosine of two means: take the cosines first, then their mean":
        lambda a, v: torch.cosine_similarity(a[1:].mean(0), v[:-1].mean(0), dim=0),
    "that compares every token with every other one: of each row, only the one before is asked for":
        lambda a, v: (unit(a) @ unit(v).T).mean(),
    "there is one pair less than there are tokens: divide by that number":
        lambda a, v: alike(a[1:], v[:-1]) * (len(a) - 1) / len(a),
}  # fmt: skip


# 18.4 the reach of a bond


def bonds() -> list[tuple]:
    """Causal patterns, messages of several lengths, and the first query that counts."""
    patterns = torch.softmax(noise(2, 6, 6) * 2 + torch.full((6, 6), -1e9).triu(1), -1)
    lengths = torch.tensor([3.0, 0.2, 1.0, 2.0, 0.5, 1.5])[:, None]
    more = torch.softmax(noise(1, 5, 5, seed=2) + torch.full((5, 5), -1e9).triu(1), -1)
    return [(patterns, noise(2, 6, 3, seed=1) * lengths, 3), (more, noise(1, 5, 4, seed=3), 1)]


def slow_reach(pattern: Tensor, moved: Tensor, first: int) -> Tensor:
    """Query by query and key by key."""
    totals = [0.0] * pattern.shape[-1]
    for attention, message in zip(pattern.tolist(), moved.tolist()):
        for query in range(first, len(attention)):
            for key in range(query + 1):
                totals[query - key] += attention[query][key] * math.sqrt(dot(message[key], message[key]))
    return torch.tensor([total / sum(totals) for total in totals])


def distances(sizes: Tensor, first: int) -> Tensor:
    """The sum of these sizes, from `first` on, at every distance back."""
    kept = sizes.clone()
    kept[:, :first] = 0
    return torch.stack([kept.diagonal(-back, 1, 2).sum() for back in range(sizes.shape[-1])])


def share(values: Tensor) -> Tensor:
    """Divided by their sum."""
    return values / values.sum()


def sized(pattern: Tensor, moved: Tensor) -> Tensor:
    """Attention times the length of what is sent."""
    return pattern * moved.norm(dim=-1)[:, None]


def of_each_query(pattern: Tensor, moved: Tensor) -> Tensor:
    """The same, divided by its sum for every query."""
    sizes = sized(pattern, moved)
    return sizes / sizes.sum(-1, keepdim=True)


REACH_MISTAKES = {
    "that is the attention alone: a key's force is its attention times the length of what it sends":
        lambda p, m, f: share(distances(p, f)),
    "all queries were counted: only those from `first` on":
        lambda p, m, f: share(distances(sized(p, m), 0)),
    "the query `first` itself counts, too":
        lambda p, m, f: share(distances(sized(p, m), f + 1)),
    "the KEYS before `first` were left out: it is queries that are to be left out":
        lambda p, m, f: share(distances(sized(p, m).mT, f)),
    "those are positions of keys: the distance is the query's position less the key's":
        lambda p, m, f: share(sized(p, m)[:, f:].sum((0, 1))),
    "divide by the sum at the very end: the shares add up to 1":
        lambda p, m, f: distances(sized(p, m), f),
    "each query's force was divided by its own sum: a query with a weak force counts less":
        lambda p, m, f: share(distances(of_each_query(p, m), f)),
    "the length went to the query: it is the KEY that sends":
        lambda p, m, f: share(distances(p * m.norm(dim=-1)[:, :, None], f)),
    "those are squares of sizes: take the sizes themselves":
        lambda p, m, f: share(distances(sized(p, m).square(), f)),
    "that is a mean over the pairs at a distance: take their sum, or far distances count too much":
        lambda p, m, f: share(distances(sized(p, m), f) / distances(torch.ones_like(p), f)),
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "18.1": Exercise(pulling.three_vectors, pulling.slow_three, pulling.THREE_MISTAKES),
    "18.2": Exercise(clouds, slow_split, SPLIT_MISTAKES),
    "18.3": Exercise(arrivals, slow_alike, ALIKE_MISTAKES),
    "18.4": Exercise(bonds, slow_reach, REACH_MISTAKES),
}
