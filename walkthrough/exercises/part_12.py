"""The exercises of notebook 12: a score of context, and when something comes in a run (per-token matching: `matching`)."""

import math

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Exercise
from walkthrough.exercises.matching import MATCH_MISTAKES, slow_match, texts_with_changes

# 12.1 late minus early


def windows_of_losses() -> list[tuple]:
    """Losses that fall along the window and differ from window to window; stretches of different lengths."""
    cases = []
    for seed, (early, late) in enumerate((((3, 7), (20, 28)), ((0, 4), (17, 20)), ((5, 11), (12, 14)))):
        generator = torch.Generator().manual_seed(seed)
        losses = 3 + torch.randn(4, 30, generator=generator) - torch.arange(30) / 10 + torch.arange(4)[:, None] / 3
        cases.append((losses, early, late))
    return cases


def slow_late(losses: Tensor, early: tuple, late: tuple) -> Tensor:
    """Window by window, position by position."""
    mean = lambda row, stretch: sum(row[i] for i in range(*stretch)) / (stretch[1] - stretch[0])
    return torch.tensor([mean(row, late) - mean(row, early) for row in losses.tolist()])


LATE_MISTAKES = {
    "the sign is flipped: late minus early is below zero if the model gains from context":
        lambda x, early, late: -slow_late(x, early, late),
    "that is the mean over windows: one number for each window is asked for, so that its spread can be told":
        lambda x, early, late: slow_late(x, early, late).mean(),
    "those are single positions: take means over the two stretches":
        lambda x, early, late: x[:, late[0]] - x[:, early[0]],
    "those are the last positions alone: take means over the two stretches":
        lambda x, early, late: x[:, late[1] - 1] - x[:, early[1] - 1],
    "the stretches were added up: take means, since they may differ in length":
        lambda x, early, late: x[:, late[0]:late[1]].sum(1) - x[:, early[0]:early[1]].sum(1),
    "the stretches end one position too late: like range(a, b), (a, b) leaves b out":
        lambda x, early, late: slow_late(x, (early[0], early[1] + 1), (late[0], late[1] + 1)),
    "the mean runs over windows: average over the positions of each window":
        lambda x, early, late: x[:, late[0]:late[1]].mean() - x[:, early[0]:early[1]].mean(0),
    "that is a ratio: subtract the two means":
        lambda x, early, late: x[:, late[0]:late[1]].mean(1) / x[:, early[0]:early[1]].mean(1),
}  # fmt: skip


# 12.2 where a curve changes fastest


def curves_with_a_step() -> list[tuple]:
    """Curves over x that is spaced unevenly: the largest change is not the fastest, some fall, some rise."""
    cases = []
    for seed, sign in enumerate((-1, 1, -1)):
        generator = torch.Generator().manual_seed(seed)
        gaps = torch.tensor([1.0, 9, 2, 3, 1, 2, 8, 3, 2, 1, 4])
        steps = 0.2 * gaps * (1 + 0.3 * torch.rand(len(gaps), generator=generator))
        steps[3 + seed] = gaps[3 + seed]  # the fastest
        steps[8] = -0.5 * gaps[8]  # against the others
        x = 3 + torch.cat([torch.zeros(1), gaps.cumsum(0)])
        cases.append((x, 20 + sign * torch.cat([torch.zeros(1), steps.cumsum(0)])))
    return cases


def slopes(x: Tensor, values: Tensor) -> list[float]:
    """Interval by interval, the change over the length."""
    return [((values[i + 1] - values[i]) / (x[i + 1] - x[i])).item() for i in range(len(x) - 1)]


def place_of(x: Tensor, i: int, where: float = 0.5) -> float:
    """A place in interval i: its middle, or its beginning or end."""
    return ((1 - where) * x[i] + where * x[i + 1]).item()


def index_of_largest(numbers: list[float]) -> int:
    """Which of some numbers is the largest."""
    return max(range(len(numbers)), key=lambda i: numbers[i])


def slow_fastest(x: Tensor, values: Tensor, where: float = 0.5) -> float:
    """The steepest interval, whichever way."""
    return place_of(x, index_of_largest([abs(slope) for slope in slopes(x, values)]), where)


FASTEST_MISTAKES = {
    "that is the largest change from one look to the next: looks are not equally far apart, so divide by the distance":
        lambda x, v: place_of(x, index_of_largest(v.diff().abs().tolist())),
    "that is the beginning of the right interval: return its middle":
        lambda x, v: slow_fastest(x, v, 0.0),
    "that is the end of the right interval: return its middle":
        lambda x, v: slow_fastest(x, v, 1.0),
    "that is the number of the right interval: return the x in its middle":
        lambda x, v: float(index_of_largest([abs(slope) for slope in slopes(x, v)])),
    "that is how fast it changes: return where it does":
        lambda x, v: max(map(abs, slopes(x, v))),
    "that is where the curve bends most: the change of the value is asked for, not that of its slope":
        lambda x, v: place_of(x, index_of_largest([abs(b - a) for a, b in zip(slopes(x, v), slopes(x, v)[1:])])),
    "only one direction counts in your answer: a curve may change fastest while it falls, or while it rises":
        lambda x, v: place_of(x, index_of_largest([(-1 if v[-1] > v[0] else 1) * slope for slope in slopes(x, v)])),
}  # fmt: skip


# 12.3 when a quantity comes


def curves_that_come() -> list[tuple]:
    """Curves that start and end anywhere, and fall behind once more after they were half-way; one falls."""
    cases = []
    for start, end, share, dip in ((0.1, 0.9, 0.5, 14), (6.2, 3.3, 0.5, 15), (-0.3, 2.2, 0.8, 17)):
        way = torch.tensor([0, 0, 0.02, 0.04, 0.03, 0.1, 0.08, 0.2, 0.3, 0.45, 0.56, 0.62, 0.7, 0.77,
                            0.83, 0.86, 0.88, 0.9, 0.92, 0.93, 0.95, 0.96, 0.98, 1.02, 1.05, 0.9, 1.1])  # fmt: skip
        way[dip - 3 : dip - 1] = torch.tensor([share - 0.1, share + 0.02])  # behind again, and then just before it
        tokens = 100.0 * torch.arange(len(way)) ** 1.5
        cases.append((tokens, start + (end - start) * way, share))
    return cases


def slow_arrival(tokens: Tensor, values: Tensor, share: float, for_good: bool = True, last: int | None = None) -> float:
    """Look by look, from the end back, as long as the curve is not behind."""
    last = last or max(1, len(values) // 10)
    end = sum(values[-last:].tolist()) / last
    ways = [(value - values[0].item()) / (end - values[0].item()) for value in values.tolist()]
    if not for_good:
        return tokens[next(i for i, way in enumerate(ways) if way >= share)].item()
    found = math.inf
    for at, way in reversed(list(zip(tokens.tolist(), ways))):
        if way < share:
            return found
        found = at
    return found


def crossed(tokens: Tensor, values: Tensor, level: float) -> float:
    """The first look after the last one on the first value's side of a level."""
    start_side = values[0] < level
    behind = (values < level) == start_side
    after = int(behind.nonzero().max()) + 1
    return tokens[after].item() if after < len(tokens) else math.inf


ARRIVAL_MISTAKES = {
    "that is the first time: the curve falls behind again later, so take the time from which it never does":
        lambda t, v, share: slow_arrival(t, v, share, for_good=False),
    "that is the last look at which the curve is behind: return the one after it":
        lambda t, v, share: t[(t < slow_arrival(t, v, share)).nonzero().max()].item(),
    "that is the number of the look: return the tokens":
        lambda t, v, share: float((t == slow_arrival(t, v, share)).nonzero().item()),
    "your way starts at zero: it starts at the curve's first value":
        lambda t, v, share: crossed(t, v, share * v[-(len(v) // 10):].mean().item()),
    "the end of your way is the last value alone: take the mean of the last tenth":
        lambda t, v, share: slow_arrival(t, v, share, last=1),
    "you took half of the way: `share` says how much of it is asked for":
        lambda t, v, share: slow_arrival(t, v, 0.5),
}  # fmt: skip


# 12.4 an order that every seed agrees on


def times_of_seeds() -> list[tuple]:
    """Times with ties, orders that all seeds share and orders that one seed turns round."""
    return [
        (torch.tensor([[1.0, 3, 2, 5, 5], [2, 4, 4.5, 6, 5], [1, 2, 3, 9, 7]]),),
        (torch.tensor([[4.0, 1, 1, 2], [8, 3, 2, 5]]),),
    ]


def slow_before(arrivals: Tensor) -> Tensor:
    """Pair by pair, seed by seed."""
    n = arrivals.shape[1]
    return torch.tensor([[all(row[i] < row[j] for row in arrivals.tolist()) for j in range(n)] for i in range(n)])


def counted_before(arrivals: Tensor) -> Tensor:
    """In how many seeds a quantity came before another."""
    return (arrivals[:, :, None] < arrivals[:, None, :]).float().sum(0)


BEFORE_MISTAKES = {
    "transposed: the row is the quantity that came first, the column the one that came later":
        lambda a: slow_before(a).T,
    "those are means over seeds: a mean may be earlier although one seed says otherwise":
        lambda a: a.mean(0)[:, None] < a.mean(0)[None],
    "that is true if any seed says so: all of them have to":
        lambda a: counted_before(a) > 0,
    "that is true if most seeds say so: all of them have to":
        lambda a: counted_before(a) > len(a) / 2,
    "two that came at the same time are in no order: use <, not <=":
        lambda a: (a[:, :, None] <= a[:, None, :]).all(0),
    "that is the share of seeds: return True or False":
        lambda a: counted_before(a) / len(a),
    "that is the number of seeds: return True or False":
        lambda a: counted_before(a),
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "12.1": Exercise(windows_of_losses, slow_late, LATE_MISTAKES),
    "12.2": Exercise(curves_with_a_step, slow_fastest, FASTEST_MISTAKES),
    "12.3": Exercise(curves_that_come, slow_arrival, ARRIVAL_MISTAKES),
    "12.4": Exercise(times_of_seeds, slow_before, BEFORE_MISTAKES),
    "12.5": Exercise(texts_with_changes, slow_match, MATCH_MISTAKES),
}
