"""Weaknesses predicted from weights: prompts that make the model say what it should not, and what stops them.

An attacker may fill some places of a prompt, and wins a target if the model then says the wrong token first. Each
filling that is tried is one call of the model. Only our own small models are attacked here.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from walkthrough.beyond.blind_search import stands
from walkthrough.beyond.faithful import end_log_probs
from walkthrough.interventions import Head, Hooks

SLOTS = slice(16, 24)  # the places that the attacker may fill
LENGTH = 32


class Targets(NamedTuple):
    """Prompts of held-out text after which the model is right, the token that it then says, and a wrong one."""

    prompts: Int[Tensor, "target pos"]
    right: Int[Tensor, " target"]
    wrong: Int[Tensor, " target"]


Fill = Callable[[int, Int[Tensor, "target slot"]], Int[Tensor, "target slot"]]


def pick_targets(
    model, windows: Int[Tensor, "window pos"], pool: Int[Tensor, " choice"], n: int, seed: int = 0
) -> Targets:
    """The first `n` windows whose next token the model has first after `LENGTH` tokens; the wrong token is drawn from a pool.

    The wrong token neither stands in the prompt nor is among the five that the model has first. Raises ValueError for
    too few windows.
    """
    prompts, nexts = windows[:, :LENGTH].long(), windows[:, LENGTH].long()
    ranked = torch.cat([end_log_probs(model, part).topk(5).indices for part in prompts.split(64)])
    good = (ranked[:, 0] == nexts).nonzero()[:n, 0]
    if len(good) < n:
        raise ValueError(f"the model is right in {len(good)} of {len(windows)} windows only: pass more for {n} targets")
    generator, wrong = torch.Generator().manual_seed(seed), []
    for prompt, five in zip(prompts[good], ranked[good]):
        free = pool[~torch.isin(pool, torch.cat([prompt, five]))]
        wrong.append(free[torch.randint(len(free), (1,), generator=generator)])
    return Targets(prompts[good], nexts[good], torch.cat(wrong))


def attack(
    model, targets: Targets, fill: Fill, n_calls: int, hooks_for: Callable[[Tensor], Hooks] = lambda prompts: [],
    aim: str = "wrong",
) -> Int[Tensor, " target"]:  # fmt: skip
    """After how many calls each target is won; 0 if it is not won in `n_calls`.

    `fill` gets the number of the call and the best filling so far (the one that made the wrong token likeliest), and
    returns the next. With aim "not right" a target is won as soon as the right token is no longer first, and the best
    filling is the one that makes it least likely. `hooks_for` are a defence. Raises ValueError for another aim.
    """
    if aim not in ("wrong", "not right"):
        raise ValueError(f"an attack aims at 'wrong' or at 'not right', not at {aim!r}")
    prompts, calls = targets.prompts.clone(), torch.zeros(len(targets.prompts), dtype=torch.long)
    best, height = prompts[:, SLOTS].clone(), torch.full((len(prompts),), -torch.inf)
    for call in range(1, n_calls + 1):
        prompts[:, SLOTS] = filling = fill(call, best)
        log_probs = end_log_probs(model, prompts, hooks_for(prompts))
        first = log_probs.argmax(1)
        won = first == targets.wrong if aim == "wrong" else first != targets.right
        calls = torch.where(won & (calls == 0), call, calls)
        goal, sign = (targets.wrong, 1) if aim == "wrong" else (targets.right, -1)
        reached = sign * log_probs.gather(1, goal[:, None])[:, 0]
        best = torch.where((reached > height)[:, None], filling, best)
        height = torch.maximum(reached, height)
        if (calls > 0).all():
            break
    return calls


def in_order(fillings: Sequence[Int[Tensor, "target slot"]]) -> Fill:
    """Fillings that are known beforehand, the first call the first; the last again when they are used up."""
    return lambda call, best: fillings[min(call, len(fillings)) - 1]


def random_fillings(pool: Int[Tensor, " choice"], seed: int = 0) -> Fill:
    """Random tokens of a pool in every slot, drawn anew for each call."""
    generator = torch.Generator().manual_seed(seed)
    return lambda call, best: pool[torch.randint(len(pool), best.shape, generator=generator)]


def renamed(
    fillings: Sequence[Int[Tensor, "target slot"]], wrong: Int[Tensor, " target"], pool: Int[Tensor, " choice"],
    seed: int = 0,
) -> Fill:  # fmt: skip
    """Random fillings of the same shape as some: slots that were equal stay equal, and the wrong token stays where it is.

    Every other token is drawn from a pool, anew for each call; the shapes take turns.
    """
    generator = torch.Generator().manual_seed(seed)

    def fill(call: int, best: Int[Tensor, "target slot"]) -> Int[Tensor, "target slot"]:
        """The next shape with random tokens."""
        shape = fillings[(call - 1) % len(fillings)]
        first = (shape[:, :, None] == shape[:, None]).int().argmax(2)  # the first slot with the same token
        drawn = pool[torch.randint(len(pool), shape.shape, generator=generator)]
        return torch.where(shape == wrong[:, None], shape, drawn.gather(1, first))

    return fill


def hinted(hints: Int[Tensor, "target hint"], seed: int = 0) -> Fill:
    """A hint in every slot, drawn anew for each call: what a shrewd attacker tries who knows no weights."""
    generator = torch.Generator().manual_seed(seed)
    return lambda call, best: hints.gather(1, torch.randint(hints.shape[1], best.shape, generator=generator))


def hill_climb(pool: Int[Tensor, " choice"], hints: Int[Tensor, "target hint"] | None = None, seed: int = 0) -> Fill:
    """A search without gradients that sees outputs only: one slot of the best filling is changed to a random token.

    With `hints`, every other change takes one of them instead.
    """
    generator = torch.Generator().manual_seed(seed)

    def fill(call: int, best: Int[Tensor, "target slot"]) -> Int[Tensor, "target slot"]:
        """The best filling with one slot changed."""
        rows, filling = torch.arange(len(best)), best.clone()
        token = pool[torch.randint(len(pool), rows.shape, generator=generator)]
        if hints is not None:
            hint = hints[rows, torch.randint(hints.shape[1], rows.shape, generator=generator)]
            token = torch.where(torch.rand(len(rows), generator=generator) < 0.5, hint, token)
        filling[rows, torch.randint(best.shape[1], rows.shape, generator=generator)] = token
        return filling

    return fill


def repeated(*parts: Int[Tensor, " target"]) -> Int[Tensor, "target slot"]:
    """The parts in a row, again and again until the slots are full; the row ends with the last part."""
    n_slots = SLOTS.stop - SLOTS.start
    times = -(-n_slots // len(parts))
    return torch.stack(parts * times, 1)[:, -n_slots:]


def hijacks(targets: Targets) -> list[Int[Tensor, "target slot"]]:
    """Predicted for induction heads: `[A][wrong]` again and again, where A is the last token; then with tokens before A."""
    A, before, earlier = (targets.prompts[:, -back] for back in (1, 2, 3))
    wrong = targets.wrong
    return [repeated(A, wrong), repeated(before, A, wrong), repeated(earlier, before, A, wrong)]


def look_alikes(
    model, share: Float[Tensor, " d_vocab"], previous: Head, heads: Sequence[Head], n: int
) -> Int[Tensor, "d_vocab {n}"]:
    """For each token A the `n` others that induction heads match most as if they were A, best first.

    From weights: the score that a query with A, among average tokens, gives a key whose previous-token head looked at
    the other token. Raises ValueError unless all heads are of the layer after the previous-token head's.
    """
    layer = previous[0] + 1
    if {at for at, _ in heads} != {layer}:
        raise ValueError(f"head {previous} is read in layer {layer}, but the heads given are {list(heads)}")
    queries = stands(model, share)[layer].tokens
    keys = model.W_E @ model.W_V[previous] @ model.W_O[previous]
    scores = sum((queries @ model.W_Q[head]) @ (keys @ model.W_K[head]).T for head in heads)
    scores.fill_diagonal_(-torch.inf)
    scores[:, 0] = -torch.inf
    return scores.topk(n, dim=1).indices


def collisions(targets: Targets, alike: Int[Tensor, "d_vocab n"]) -> list[Int[Tensor, "target slot"]]:
    """Predicted hijacks that never say A: a token that is taken for A, then the wrong one, again and again."""
    last = targets.prompts[:, -1]
    return [repeated(each, targets.wrong) for each in alike[last].T]


def won_within(calls: Int[Tensor, " target"], n: int) -> Bool[Tensor, " target"]:
    """Which targets are won within `n` calls."""
    return (calls > 0) & (calls <= n)


def calls_for(calls: Int[Tensor, " target"], success: float) -> int | None:
    """How many calls it takes to win that share of the targets; None if they are never won."""
    needed = max(1, round(success * len(calls)))
    won = calls[calls > 0].sort().values
    return won[needed - 1].item() if len(won) >= needed else None
