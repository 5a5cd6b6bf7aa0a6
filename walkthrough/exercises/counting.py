"""The exercises of notebook 02 that begin with a table of counts: 2.1 and 2.3."""

import math

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Exercise


def random_counts(seed: int, n: int, columns: int = 0, zeros: float = 0.0) -> Tensor:
    """A table of counts without symmetries, whose rows and columns differ in weight; a share of it zero."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.rand(n, 1, generator=generator) * 40 + 3
    counts = (torch.rand(n, columns or n, generator=generator) ** 3 * scale).long() + 1
    return counts * (torch.rand(counts.shape, generator=generator) >= zeros)


def without(counts: Tensor, first: int | None = None, second: int | None = None) -> Tensor:
    """The same table with a token that never came first, and one that never came second."""
    counts = counts.clone()
    if first is not None:
        counts[first] = 0
    if second is not None:
        counts[:, second] = 0
    return counts


def square_counts() -> list[tuple]:
    """Square tables: full; with a token that never came at all; with gaps, an empty row and an empty column."""
    full, absent = random_counts(0, 4), without(random_counts(1, 6, zeros=0.3), 2, 2)
    return [(full,), (absent,), (without(random_counts(2, 5, zeros=0.2), 3, 1),)]


def per_column(counts: Tensor, sums: Tensor) -> Tensor:
    """Each column divided by its own entry of `sums`: what a sum over an axis does when it does not keep that axis."""
    return counts.double() / sums[None, :]


# 2.1 counts into probabilities


def counts_of_all_shapes() -> list[tuple]:
    """The square tables, and four of six rows, one of them without counts: 4 x 6."""
    return [*square_counts(), (without(random_counts(6, 4, 6, zeros=0.2), 1),)]


def slow_conditional(counts: Tensor) -> Tensor:
    """P(second | first), pair by pair."""
    table = torch.zeros(counts.shape, dtype=torch.float64)
    for first, row in enumerate(counts.tolist()):
        for second, times in enumerate(row):
            table[first, second] = times / sum(row) if sum(row) else 0.0
    return table


KEPT = (
    "each COLUMN was divided by the sum of a row: counts.sum(1) has lost an axis, so its numbers line up with the columns; "
    "keep the axis with keepdim=True"
)
CROSSED = (
    "each row was divided by the sum of a column: what follows a token is divided by the sum of its own row, sum(1)"
)
EMPTY = "0 / 0 is nan: a token that never came first has a row of zeros, and should keep it; divide by at least 1 there"
CONDITIONAL_MISTAKES = {
    EMPTY: lambda c: c.double() / c.sum(1, keepdim=True),
    "wrong axis: there each column sums to 1, which tells what came BEFORE a token; each row must sum to 1":
        lambda c: c.double() / c.sum(0, keepdim=True).clamp_min(1),
    "wrong axis, and 0 / 0 is nan: each row must sum to 1, so divide it by its own sum, and by at least 1":
        lambda c: c.double() / c.sum(0, keepdim=True),
    "divided by the total: that is the probability of the pair, not of the second token given the first":
        lambda c: c.double() / c.sum(),
    "those are still counts: divide each row by its sum":
        lambda c: c,
    "divided by the highest count of each row instead of by its sum":
        lambda c: c.double() / c.max(1, keepdim=True).values.clamp_min(1),
    "the first tokens are the rows already: you turned the table over, and gave what came before each token":
        lambda c: slow_conditional(c.T),
    "that is a softmax over the counts: a softmax is for logits; counts are divided by their sum":
        lambda c: c.double().softmax(1),
    "one was added to every count: give what was counted, without smoothing":
        lambda c: (c.double() + 1) / (c.double() + 1).sum(1, keepdim=True),
    "1 was added to every row's sum: only rows without counts need it":
        lambda c: c.double() / (c.sum(1, keepdim=True) + 1),
    "a row without counts stays a row of zeros: you gave it equal shares, and nothing of that kind was counted":
        lambda c: slow_conditional(c + (c.sum(1, keepdim=True) == 0)),
    "those are logarithms: probabilities were asked for":
        lambda c: slow_conditional(c).log(),
    "whole-number division rounds all shares down to 0 or 1: use / and not //":
        lambda c: c // c.sum(1, keepdim=True).clamp_min(1),
}  # fmt: skip
CONDITIONAL_CRASHES = {
    "(6) must match the size of tensor b (4)": KEPT,
    "shapes (4,6) (4,)": KEPT,
    "(4) must match the size of tensor b (6)": CROSSED,
    "shapes (4,6) (6,1)": CROSSED,
}


# 2.3 what one token tells about the next


def counts_with_gaps() -> list[tuple]:
    """Tables that all hold an empty row and an empty column; the last has single pairs that never came, too."""
    tables = without(random_counts(3, 4), 1, 1), without(random_counts(4, 7), 0, 5)
    return [*((table,) for table in tables), (without(random_counts(5, 6, zeros=0.3), 2, 4),)]


def slow_information(counts: Tensor) -> float:
    """Mutual information in nats, pair by pair."""
    total = counts.sum().item()
    nats = 0.0
    for first in range(len(counts)):
        for second in range(len(counts)):
            pair = counts[first, second].item() / total
            apart = counts[first].sum().item() / total * counts[:, second].sum().item() / total
            nats += pair * math.log(pair / apart) if pair else 0.0
    return nats


def entropy(weights: Tensor) -> Tensor:
    """Entropy in nats of weights that need not sum to 1."""
    share = weights.double() / weights.sum()
    return -torch.special.xlogy(share, share).sum()


def kl_rows(counts: Tensor, overall: Tensor) -> Tensor:
    """KL of each row from one overall distribution; 0 for a row without counts."""
    rows, overall = slow_conditional(counts), overall.double() / overall.sum()
    return torch.where(counts > 0, rows * (rows / overall).log(), 0).sum(1)


def share(counts: Tensor, axis: int = 1) -> Tensor:
    """How often each token comes first (axis 1) or second (axis 0), as shares."""
    return counts.sum(axis).double() / counts.sum()


def reversed_kl(counts: Tensor) -> Tensor:
    """The average KL of the overall distribution from the rows; infinite where a pair never came."""
    rows, overall = slow_conditional(counts), share(counts, 0)
    terms = torch.where((overall > 0) & (counts.sum(1, keepdim=True) > 0), overall * (overall / rows).log(), 0)
    return share(counts) @ terms.sum(1)


def information_of_columns(counts: Tensor) -> Tensor:
    """What comes out where row sums have divided the columns."""
    table = per_column(counts, counts.sum(1).clamp_min(1))
    return share(counts) @ torch.where(counts > 0, table * (table / share(counts, 0)).log(), 0).sum(1)


GAPS = (
    "your answer is nan: a token that never came has an empty row or column, where 0 / 0 stands, and a pair that never "
    "came gives 0 log 0; such terms count as 0, so leave out pairs that never came"
)
INFORMATION_MISTAKES = {
    GAPS: lambda c: math.nan,
    "every row counted alike: weight each token by how often it occurs":
        lambda c: kl_rows(c, c.sum(0)).mean(),
    "every row that has counts counted alike: weight each token by how often it occurs":
        lambda c: kl_rows(c, c.sum(0))[c.sum(1) > 0].mean(),
    "the rows were added up without weights: weight each token by its share of the text":
        lambda c: kl_rows(c, c.sum(0)).sum(),
    "the rows were weighted by how often tokens come second: a row belongs to the first token of the pair, sum(1)":
        lambda c: share(c, 0) @ kl_rows(c, c.sum(0)),
    "weighted by counts and not by shares: divide by the number of pairs":
        lambda c: slow_information(c) * c.sum(),
    "KL the wrong way round: average log(row / overall) under the row, not log(overall / row) under the overall":
        reversed_kl,
    "that is in bits: use the natural logarithm":
        lambda c: slow_information(c) / math.log(2),
    "the sign is flipped: what a token tells is never below zero":
        lambda c: -slow_information(c),
    "that is the conditional entropy: what is left to guess once the token is known, not what it tells":
        lambda c: entropy(c) - entropy(c.sum(1)),
    "that is the entropy of the next token: subtract what is left once the current one is known":
        lambda c: entropy(c.sum(0)),
    "that is the joint entropy: of pairs, not what one half tells about the other":
        entropy,
    "you subtracted the joint entropy: subtract the conditional one":
        lambda c: entropy(c.sum(0)) - entropy(c),
    "compared with how often tokens come first: compare with how often they come second (sums of columns)":
        lambda c: share(c) @ kl_rows(c, c.sum(1)),
    "compared with equal shares for all tokens: compare with how often each comes second (sums of columns)":
        lambda c: math.log(len(c)) - entropy(c) + entropy(c.sum(1)),
    "one was added to every count: use what was counted, without smoothing":
        lambda c: slow_information(c + 1),
    "each COLUMN was divided by the sum of a row: the sum has lost an axis; keep it with keepdim=True":
        information_of_columns,
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "2.1": Exercise(counts_of_all_shapes, slow_conditional, CONDITIONAL_MISTAKES, crashes=CONDITIONAL_CRASHES),
    "2.3": Exercise(counts_with_gaps, slow_information, INFORMATION_MISTAKES),
}
