"""Task 3 of homework 3: what one head is forced to say."""

import copy
import itertools

import torch
from torch import Tensor

from graders.hw3_models import seeds
from walkthrough.exercises.check import as_tensor, likely_mistake, same

# 3 what is forced


def forests(seed: int) -> list[tuple]:
    """One source's raises, a few known: no closed ring, two groups or more that force something, both signs; then chains.

    Of the first table's destinations there is one of which nothing is known, and of the second's outs.
    """
    cases, sizes = [], [(6, 7), (7, 5), (5, 8)]
    for i, (s, (n_destinations, n_outs)) in enumerate(zip(seeds(seed, len(sizes)), sizes)):
        for attempt in seeds(s, 200):
            generator = torch.Generator().manual_seed(attempt)
            shares = 0.15 + 0.8 * torch.rand(n_destinations, generator=generator)
            moved = (0.4 + 2 * torch.rand(n_outs, generator=generator)) * torch.randn(
                n_outs, generator=generator
            ).sign()
            bare = (attempt % n_destinations, attempt % n_outs)[i] if i < 2 else None
            known, group = torch.zeros(n_destinations, n_outs).bool(), torch.arange(n_destinations + n_outs)
            for place in torch.randperm(n_destinations * n_outs, generator=generator).tolist():
                row, column = divmod(place, n_outs)
                if i < 2 and bare == (row, column)[i]:
                    continue
                ends = group[row].item(), group[n_destinations + column].item()
                if ends[0] != ends[1] and known.sum() < n_destinations + n_outs - 3:
                    known[row, column], group = True, torch.where(group == ends[1], ends[0], group)
            raised = torch.outer(shares, moved) * known
            sides = [side.bincount(minlength=len(group)) for side in group.split([n_destinations, n_outs])]
            rich = (sides[0] > 1) & (sides[1] > 1)  # groups in which something is forced
            first = rich[group[known.any(1).int().argmax()]]
            if rich.sum() < 2 or not first or same(fill(closest)(raised, known), raised.double()):
                continue
            steps = [passes(raised, known, n)[1].sum() for n in (0, 1, 2, 9)]
            if steps[0] < steps[1] < steps[2] <= steps[3] < known.numel():
                break
        cases.append((raised, known))
    return [*cases, staircase(seed, 16, False), staircase(seed + 1, 14, True)]


def staircase(seed: int, n: int, turned: bool) -> tuple[Tensor, Tensor]:
    """Raises known along one long chain, [n n + 1] or turned, rows and columns in no order: all the rest is forced."""
    generator = torch.Generator().manual_seed(seed)
    steps = (torch.eye(n, n + 1) + torch.eye(n, n + 1).roll(1, 1)).bool()
    known = steps[torch.randperm(n, generator=generator)][:, torch.randperm(n + 1, generator=generator)]
    shares, moved = (0.4 + 0.5 * torch.rand(m, generator=generator) for m in known.shape)
    raised = torch.outer(shares, 3 * moved * torch.randn(n + 1, generator=generator).sign()) * known
    return (raised.T.contiguous(), known.T.contiguous()) if turned else (raised, known)


def passes(raised: Tensor, known: Tensor, n: int, add: bool = False) -> tuple[Tensor, Tensor]:
    """The table and what is known of it after at most n passes: a fourth corner of three gets its value from them."""
    table, has = raised.double().tolist(), known.tolist()
    rows, columns = range(len(table)), range(len(table[0]))
    for _ in range(n):
        before, had = copy.deepcopy(table), copy.deepcopy(has)
        for d, o in ((d, o) for d in rows for o in columns if not had[d][o]):
            for e, p in ((e, p) for e in rows if had[e][o] for p in columns if had[d][p] and had[e][p]):
                a, b, c = before[d][p], before[e][o], before[e][p]
                table[d][o], has[d][o] = (a + b - c if add else a * b / c), True
        if has == had:
            break
    return torch.tensor(table).double(), torch.tensor(has)


def slow_forced(raised: Tensor, known: Tensor) -> Tensor:
    """Passes until nothing is new."""
    return passes(raised, known, raised.numel())[0]


def any_scale(raised: Tensor, known: Tensor) -> Tensor:
    """A product everywhere: shares found by walking along what is known, from 1 at each group's first destination."""
    shares, moved = torch.zeros(len(raised)).double(), torch.zeros(raised.shape[1]).double()
    for first in range(len(raised)):
        shares[first] = shares[first] or 1.0
        for _, (d, o) in itertools.product(range(raised.numel()), known.nonzero().tolist()):
            moved[o] = moved[o] or (raised[d, o] / shares[d] if shares[d] else 0.0)
            shares[d] = shares[d] or (raised[d, o] / moved[o] if moved[o] else 0.0)
    return torch.outer(shares, moved)


def closest(raised: Tensor, known: Tensor) -> Tensor:
    """The product that is nearest to the table with zeros for what is not known."""
    U, S, Vh = torch.linalg.svd(raised.double())
    return S[0] * torch.outer(U[:, 0], Vh[0])


def margins(raised: Tensor, known: Tensor) -> Tensor:
    """Row's sum times column's sum, over the sum of all."""
    return torch.outer(raised.sum(1), raised.sum(0)).double() / raised.sum()


def mean_of(axis: int):
    """For each unknown entry the mean of the known ones in its row or column."""
    return lambda raised, known: (
        (raised.sum(axis, True) / known.sum(axis, True).clamp_min(1)).double().expand(raised.shape)
    )


def fill(with_what):
    """The known entries, and others where they are not known."""
    return lambda raised, known: torch.where(known, raised.double(), with_what(raised, known))


FORCED = [
    ("the two tables were added: a raise is attention *times* what is moved",
        lambda raised, known: passes(raised, known, raised.numel(), add=True)[0]),
    ("some entries of yours are free: where no chain of known ones leads, attention may be halved and what is moved "
        "doubled", any_scale),
    ("an unknown raise is not a raise of 0: your fit takes it for one", closest),
    ("an unknown raise is not a raise of 0: your fit takes it for one", fill(closest)),
    ("sums of rows and columns count what is unknown as 0, and raises are not counts", fill(margins)),
    ("sums of rows and columns count what is unknown as 0, and raises are not counts", margins),
    ("a mean over destinations: they differ in attention", fill(mean_of(0))),
    ("a mean over outs: they differ in what is moved to them", fill(mean_of(1))),
    ("signs are lost: a head lowers logits too", lambda raised, known: slow_forced(raised, known).abs()),
    ("signs are lost: a head lowers logits too", fill(lambda raised, known: slow_forced(raised, known).abs())),
    ("the known entries are missing from your table",
        lambda raised, known: slow_forced(raised, known).masked_fill(known, 0.0)),
]  # fmt: skip


def what_is_forced(answer, raised: Tensor, known: Tensor) -> str | None:
    """What is wrong with a table said to hold the known entries and all that are forced."""
    try:
        mine = as_tensor(answer)
    except (TypeError, ValueError, RuntimeError):
        return "return one table of numbers, as large as `raised`"
    right = slow_forced(raised, known)
    if same(mine, right):
        return None
    found = next((sentence for sentence, wrong in FORCED if same(mine, wrong(raised, known))), None)
    if not found and same(mine, raised.double()):
        return "your function returned one of its inputs: there are forced entries"
    if found or mine.shape != right.shape or not mine.isfinite().all():
        other = "" if mine.shape == right.shape else ": is it hard-coded to the example?"
        return found or f"{likely_mistake(mine, right)}{other}"
    has = mine != 0
    if not same(mine[known], right[known]):
        return "a known entry of yours has another value now"
    if same(mine[right != 0], right[right != 0]):
        return "some entries are free, and yours have values: no chain of known ones leads there, and a fit is no proof"
    if same(mine * has, right * has):
        rows = [row for row in (right != 0).unique(dim=0) if row.any()]  # of one group, all destinations have the same
        whole = [bool((has == (right != 0))[((right != 0) == row).all(1)].all()) for row in rows]
        untouched = [bool((has == known)[((right != 0) == row).all(1)].all()) for row in rows]
        if any(whole) and all(a or b for a, b in zip(whole, untouched)):
            return "one group of known entries is complete, another untouched: start again wherever something is known"
        return "it stopped too early: what is forced forces more"
    return likely_mistake(mine, right) or "a forced entry has the wrong value: follow the chain that leads to it"
