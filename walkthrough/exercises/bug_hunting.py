"""Exercise 6.3: the worst bug of a head, from its two tables and counts of triples."""

import torch
from torch import Tensor


def tables() -> list[tuple]:
    """Attention, OV and counts of triples, some never counted, and some pairs of source and destination neither.

    In the last two cases all that is allowed is lowered, so that a 0 in place of what is not allowed would win; in one
    of these, what is allowed is lowered further than any usual stand-in for minus infinity.
    """
    cases = []
    sizes = [(5, 7, 6), (6, 4, 9), (8, 6, 7), (9, 7, 5), (7, 9, 8), (6, 6, 6), (5, 6, 4), (4, 5, 7)]
    for seed, (n_sources, n_destinations, n_outs) in enumerate(sizes):
        generator = torch.Generator().manual_seed(seed)
        looks = 0.05 + 0.9 * torch.rand(n_sources, n_destinations, generator=generator) ** 3
        moved = torch.randn(n_sources, n_outs, generator=generator)
        shape = n_sources, n_destinations, n_outs
        counts = torch.randint(1, 9, shape, generator=generator) * (torch.rand(shape, generator=generator) > 0.4)
        counts[torch.rand(shape[:2], generator=generator) < 0.25] = 0
        if seed >= 6:  # what is raised was counted, wherever anything was
            known = counts.sum(-1, keepdim=True) > 0
            counts = torch.where(known & (moved[:, None] > 0), counts + 1, counts)
            moved = moved * torch.where(moved < 0, 1e8 if seed == 7 else 1.0, 1.0)
        cases.append((looks, moved, counts))
    return cases


def slow_bug(looks: Tensor, moved: Tensor, counts: Tensor) -> Tensor:
    """Triple by triple."""
    best, where = -torch.inf, None
    for source in range(len(looks)):
        for destination in range(looks.shape[1]):
            for out in range(moved.shape[1]):
                known = counts[source, destination].sum() > 0
                added = (looks[source, destination] * moved[source, out]).item()
                if known and counts[source, destination, out] == 0 and added > best:
                    best, where = added, (source, destination, out)
    return torch.tensor(where)


def place(score: Tensor, allowed: Tensor, instead: float = -torch.inf) -> Tensor:
    """Where the highest score is, among those allowed."""
    flat = score.expand(allowed.shape).masked_fill(~allowed, instead).flatten().argmax()
    return torch.stack(torch.unravel_index(flat, allowed.shape))


def product(looks: Tensor, moved: Tensor) -> Tensor:
    """What the head adds to each triple."""
    return looks[:, :, None] * moved[:, None]


def unknown(counts: Tensor) -> Tensor:
    """Triples never counted, of pairs that were."""
    return (counts == 0) & (counts.sum(-1, keepdim=True) > 0)


BUG_MISTAKES = {
    "what is not allowed got a 0, which wins wherever all that is allowed is lowered: put minus infinity there":
        lambda f, g, n: place(product(f, g), unknown(n), 0.0),
    "what is not allowed got a number that is not low enough: put minus infinity there":
        lambda f, g, n: place(product(f, g), unknown(n), -1000.0),
    "that skip-trigram does occur: look only where the count is 0":
        lambda f, g, n: place(product(f, g), n >= 0),
    "that source and destination were never counted together, so nothing is known of what should come next":
        lambda f, g, n: place(product(f, g), n == 0),
    "the two tables are multiplied, not added: attention times what is moved":
        lambda f, g, n: place(f[:, :, None] + g[:, None], unknown(n)),
    "attention alone: weigh it by what the source moves":
        lambda f, g, n: place(f[:, :, None], unknown(n)),
    "what is moved alone: weigh it by the attention that the destination pays":
        lambda f, g, n: place(g[:, None], unknown(n)),
    "that is the triple that the head lowers most: a bug is a rise":
        lambda f, g, n: place(-product(f, g), unknown(n)),
    "that is the product of the largest size, whatever its sign: a bug is a rise":
        lambda f, g, n: place(product(f, g).abs(), unknown(n)),
    "the order asked for is (source, destination, out)":
        lambda f, g, n: place(product(f, g), unknown(n))[[0, 2, 1]],
    "that is a place in the flattened table: torch.unravel_index turns it into three numbers":
        lambda f, g, n: product(f, g).masked_fill(~unknown(n), -torch.inf).argmax(),
    "that is how much it adds: return where":
        lambda f, g, n: product(f, g).masked_fill(~unknown(n), -torch.inf).max(),
    "that triple is among the most counted: a bug is one that the text never shows":
        lambda f, g, n: place(product(f, g) * n, n > 0),
}  # fmt: skip
