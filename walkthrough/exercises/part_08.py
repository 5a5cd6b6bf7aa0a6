"""The exercises of notebook 08."""

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Exercise

# 8.1 prefix matching when repeats come at irregular gaps


def irregular_prompts() -> list[tuple]:
    """Patterns of three heads on tokens of which some come two to four times, never twice in a row."""
    cases = []
    for seed, tokens in enumerate(([0, 5, 3, 7, 5, 8, 3, 5, 2, 7, 3, 9, 5, 4], [0, 2, 6, 2, 9, 4, 6, 1, 2, 4, 8])):
        scores = 2 * torch.randn(3, len(tokens), len(tokens), generator=torch.Generator().manual_seed(seed))
        future = torch.ones_like(scores).triu(1).bool()
        cases.append((scores.masked_fill(future, -torch.inf).softmax(-1), torch.tensor(tokens)))
    return cases


def matched(pattern: Tensor, tokens: Tensor, step: int = 1, which: slice = slice(None)) -> list[Tensor]:
    """For each query whose token came before: the attention paid `step` after those (or some) earlier ones."""
    paid = []
    for query in range(len(tokens)):
        earlier = [key for key in range(query) if tokens[key] == tokens[query]]
        if earlier:
            paid.append(sum(pattern[:, query, key + step] for key in earlier[which]))
    return paid


def slow_matching(pattern: Tensor, tokens: Tensor) -> Tensor:
    """Query by query, over the earlier places of its token."""
    return torch.stack(matched(pattern, tokens)).mean(0)


MATCHING_MISTAKES = {
    "that is attention to the earlier copy itself: an induction head looks at the token AFTER it":
        lambda p, t: torch.stack(matched(p, t, 0)).mean(0),
    "that is attention to the token BEFORE the earlier copy: an induction head looks at the one after it":
        lambda p, t: torch.stack(matched(p, t, -1)).mean(0),
    "off by one: two after the earlier copy; did you count <BOS>?":
        lambda p, t: torch.stack([
            sum(p[:, i, min(j + 2, i)] for j in range(i) if t[j] == t[i]) for i in range(len(t)) if t[i] in t[:i]
        ]).mean(0),
    "only the last earlier copy was counted: add up the attention that follows all of them":
        lambda p, t: torch.stack(matched(p, t, 1, slice(-1, None))).mean(0),
    "only the first copy was counted: add up the attention that follows all earlier ones":
        lambda p, t: torch.stack(matched(p, t, 1, slice(1))).mean(0),
    "averaged over all queries: leave out those whose token has not come before, they have nothing to match":
        lambda p, t: torch.stack(matched(p, t)).sum(0) / len(t),
    "averaged over all queries but <BOS>: leave out every one whose token has not come before":
        lambda p, t: torch.stack(matched(p, t)).sum(0) / (len(t) - 1),
    "the mean over earlier copies, where their sum was asked: a head may spread its attention over all of them":
        lambda p, t: torch.stack([
            torch.stack([p[:, i, j + 1] for j in range(i) if t[j] == t[i]]).mean(0)
            for i in range(len(t)) if t[i] in t[:i]
        ]).mean(0),
    "summed over queries, where their mean was asked":
        lambda p, t: torch.stack(matched(p, t)).sum(0),
    "one number for all heads: give each head its own":
        lambda p, t: torch.stack(matched(p, t)).mean(),
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "8.1": Exercise(irregular_prompts, slow_matching, MATCHING_MISTAKES),
}
