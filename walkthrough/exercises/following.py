"""Exercises about what followed what: attention to followers (8.1), and pairs that come again (8.5)."""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

# 8.1 prefix matching on any prompt


def prompts_with_repeats() -> list[tuple]:
    """Patterns of three heads on tokens that come up to five times: side by side, far apart, at the end; also `<BOS>`."""
    cases = []
    prompts = [0, 5, 3, 3, 5, 8, 3, 3, 3, 7, 0, 9, 5, 4], [0, 2, 6, 2, 9, 4, 6, 1, 2, 4, 8], [0, 7, 1, 7, 7]
    for seed, tokens in enumerate(prompts):
        scores = 2 * torch.randn(3, len(tokens), len(tokens), generator=torch.Generator().manual_seed(seed))
        future = torch.ones_like(scores).triu(1).bool()
        cases.append((scores.masked_fill(future, -torch.inf).softmax(-1), torch.tensor(tokens)))
    return cases


def earlier(tokens: Tensor, query: int) -> list[int]:
    """Where a query's token stood before."""
    return [key for key in range(query) if tokens[key] == tokens[query]]


def paid(pattern: Tensor, tokens: Tensor, step: int = 1, which: slice = slice(None)) -> list[Tensor]:
    """For each query whose token came before: the attention paid `step` after those (or some) earlier ones."""
    sums = []
    for query in range(len(tokens)):
        if places := earlier(tokens, query):
            seen = [place + step for place in places[which] if 0 <= place + step <= query]
            sums.append(pattern[:, query, seen].sum(-1))
    return sums


def slow_following(pattern: Tensor, tokens: Tensor) -> Tensor:
    """Query by query, over the earlier places of its token."""
    return torch.stack(paid(pattern, tokens)).mean(0)


def each_query(pattern: Tensor, tokens: Tensor, combine: Callable[[Tensor], Tensor]) -> Tensor:
    """The mean over matched queries of something made of the attention to each follower."""
    rows = [(query, earlier(tokens, query)) for query in range(len(tokens))]
    parts = [combine(pattern[:, query, [place + 1 for place in places]]) for query, places in rows if places]
    return torch.stack(parts).mean(0)


def without_itself(pattern: Tensor, tokens: Tensor, keep: bool) -> Tensor:
    """The query itself never counts as a follower; a query that then has none is kept with zero, or dropped."""
    sums = []
    for query in range(len(tokens)):
        followers = [place + 1 for place in earlier(tokens, query) if place + 1 < query]
        if followers or (keep and earlier(tokens, query)):
            sums.append(pattern[:, query, followers].sum(-1))
    return torch.stack(sums).mean(0)


def only_words(pattern: Tensor, tokens: Tensor) -> Tensor:
    """Queries at a repeated `<BOS>` are left out."""
    kept = [query for query in range(len(tokens)) if earlier(tokens, query) and tokens[query] != 0]
    sums = [pattern[:, query, [place + 1 for place in earlier(tokens, query)]].sum(-1) for query in kept]
    return torch.stack(sums).mean(0)


FOLLOWING_MISTAKES = {
    "that is attention to the earlier copy itself: an induction head looks at the token AFTER it":
        lambda p, t: torch.stack(paid(p, t, 0)).mean(0),
    "that is attention to the token BEFORE the earlier copy: an induction head looks at the one after it":
        lambda p, t: torch.stack(paid(p, t, -1)).mean(0),
    "off by one: two after the earlier copy; did you count <BOS>?":
        lambda p, t: torch.stack(paid(p, t, 2)).mean(0),
    "in `a a` the second token is itself what followed the first: the query's own key counts there":
        lambda p, t: without_itself(p, t, keep=True),
    "in `a a` the second token is itself what followed the first: such a query has something to match, and stays":
        lambda p, t: without_itself(p, t, keep=False),
    "a second <BOS> was left out: here it is a token like any other, which has come before":
        only_words,
    "only the last earlier copy was counted: add up the attention that follows all of them":
        lambda p, t: torch.stack(paid(p, t, 1, slice(-1, None))).mean(0),
    "only the first copy was counted: add up the attention that follows all earlier ones":
        lambda p, t: torch.stack(paid(p, t, 1, slice(1))).mean(0),
    "averaged over all queries: leave out those whose token has not come before, they have nothing to match":
        lambda p, t: torch.stack(paid(p, t)).sum(0) / len(t),
    "averaged over all queries but <BOS>: leave out every one whose token has not come before":
        lambda p, t: torch.stack(paid(p, t)).sum(0) / (len(t) - 1),
    "the mean over earlier copies, where their sum was asked: a head may spread its attention over all of them":
        lambda p, t: each_query(p, t, lambda to_followers: to_followers.mean(-1)),
    "the largest attention to one follower, where the sum over all was asked":
        lambda p, t: each_query(p, t, lambda to_followers: to_followers.amax(-1)),
    "summed over queries, where their mean was asked":
        lambda p, t: torch.stack(paid(p, t)).sum(0),
    "the pattern is transposed: rows are queries, columns are keys":
        lambda p, t: slow_following(p.mT, t),
    "one number for all heads: give each head its own":
        lambda p, t: torch.stack(paid(p, t)).mean(),
}  # fmt: skip


# 8.5 pairs that come again


def rows_with_pairs() -> list[tuple]:
    """Rows in which pairs repeat, overlap, come in the other order, in another row, with tokens between, or later."""
    rows = [
        [0, 3, 4, 9, 3, 4, 4, 4, 4, 7, 9, 3, 1, 4, 3],
        [0, 1, 2, 2, 1, 2, 0, 1, 8, 1, 0, 1, 8, 5, 6],
        [0, 5, 6, 7, 5, 7, 6, 5, 6, 0, 5, 1, 13, 11, 3],
    ]
    return [(torch.tensor(rows),), (torch.tensor(rows[::-1])[:, :11],), (torch.tensor([[0, 2, 2, 2]]),)]


def slow_pairs(rows: Tensor, pair: Callable = lambda a, b: (a, b), first: int = 1) -> Tensor:
    """Row by row, with a list of the pairs so far; `pair` says what of the two tokens is remembered."""
    found = torch.zeros(rows.shape[0], rows.shape[1] - 1, dtype=torch.bool)
    for number, row in enumerate(rows.tolist()):
        for i in range(len(row) - 1):
            seen = [pair(row[j], row[j + 1]) for j in range(i + 1 - first)]
            found[number, i] = pair(row[i], row[i + 1]) in seen
    return found


def anywhere(rows: Tensor, itself: bool = False) -> Tensor:
    """Pairs that stand somewhere else in the row, or anywhere at all."""
    found = torch.zeros(rows.shape[0], rows.shape[1] - 1, dtype=torch.bool)
    for number, row in enumerate(rows.tolist()):
        pairs = list(itertools.pairwise(row))
        for i, pair in enumerate(pairs):
            found[number, i] = pairs.count(pair) > (0 if itself else 1)
    return found


def across(rows: Tensor) -> Tensor:
    """Pairs that stood earlier in any row of the batch."""
    found, seen = torch.zeros(rows.shape[0], rows.shape[1] - 1, dtype=torch.bool), set()
    for number, row in enumerate(rows.tolist()):
        for i, pair in enumerate(itertools.pairwise(row)):
            found[number, i] = pair in seen
            seen.add(pair)
    return found


def apart(rows: Tensor) -> Tensor:
    """Whether both tokens have come before, side by side or not."""
    found = torch.zeros(rows.shape[0], rows.shape[1] - 1, dtype=torch.bool)
    for number, row in enumerate(rows.tolist()):
        for i in range(len(row) - 1):
            found[number, i] = row[i] in row[:i] and row[i + 1] in row[: i + 1]
    return found


def shifted(rows: Tensor) -> Tensor:
    """The pair of the previous and the current token, in place of the current and the next."""
    right = slow_pairs(rows)
    return torch.cat([torch.zeros_like(right[:, :1]), right[:, :-1]], dim=1)


PAIR_MISTAKES = {
    "that says whether the current token came before: the next one must have followed it":
        lambda rows: slow_pairs(rows, lambda a, b: a),
    "that says whether the next token came before: it must have followed the current one":
        lambda rows: torch.tensor([[row[i + 1] in row[: i + 1] for i in range(len(row) - 1)] for row in rows.tolist()]),
    "both tokens came before, but not side by side: the two must have been neighbours":
        apart,
    "the order was ignored: `b a` is another pair than `a b`":
        lambda rows: slow_pairs(rows, lambda a, b: frozenset((a, b))),
    "every pair was found, because it was compared with itself: only earlier places count":
        lambda rows: anywhere(rows, itself=True),
    "later places count, too: a model has only seen the earlier ones":
        anywhere,
    "pairs of other rows were counted: each row is a text of its own":
        across,
    "in `a a a` the second pair overlaps with the first, and has still stood before: compare with all earlier places":
        lambda rows: slow_pairs(rows, first=2),
    "off by one: position i is for the pair of the tokens i and i + 1":
        shifted,
    "the other way round: True is for pairs that have stood before":
        lambda rows: ~slow_pairs(rows),
}  # fmt: skip
