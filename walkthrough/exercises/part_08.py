"""The exercises of notebook 08."""

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Exercise
from walkthrough.exercises.exposing import exposes, sizes
from walkthrough.exercises.following import (
    FOLLOWING_MISTAKES,
    PAIR_MISTAKES,
    prompts_with_repeats,
    rows_with_pairs,
    slow_following,
    slow_pairs,
)

# 8.3 the logit effect


def heads_on_texts() -> list[tuple]:
    """Averaged values, W_O, W_U whose columns do not sum to zero, and the tokens of a text, one of them twice."""
    cases = []
    for seed, n_pos in enumerate((7, 5)):
        generator = torch.Generator().manual_seed(seed)
        z, W_O, W_U = (torch.randn(*shape, generator=generator) for shape in ((n_pos, 4), (4, 9), (9, 11)))
        tokens = torch.randint(1, 11, (n_pos,), generator=generator)
        tokens[0], tokens[-1] = 0, tokens[2]
        cases.append((z, W_O, W_U + 0.7, tokens))
    return cases


def slow_effect(z: Tensor, W_O: Tensor, W_U: Tensor, tokens: Tensor) -> Tensor:
    """Position by position: the logit of the token that came, less the mean of all."""
    effects = []
    for position in range(len(tokens) - 1):
        logits = (z[position] @ W_O) @ W_U
        effects.append(logits[tokens[position + 1]] - sum(logits) / len(logits))
    return torch.stack(effects)


def effect_of(case: tuple, tokens: Tensor, centre: int | None = -1, rows: slice = slice(-1)) -> Tensor:
    """What the head adds to other tokens, or to the right ones with another mean taken away."""
    z, W_O, W_U, _ = case
    logits = (z @ W_O @ W_U)[rows]
    mean = 0 if centre is None else logits.mean(centre, keepdim=True)
    return (logits - mean).gather(1, tokens[:, None])[:, 0]


EFFECT_MISTAKES = {
    "that is the logit of the current token: take the one that came next":
        lambda *case: effect_of(case, case[3][:-1]),
    "that is the logit of the token two places ahead, or of the first at the end: position i is for the token at i + 1":
        lambda *case: effect_of(case, case[3].roll(-2)[:-1]),
    "not centred: take away the mean over the vocabulary, which no softmax notices":
        lambda *case: effect_of(case, case[3][1:], None),
    "the mean over positions was taken away: take that over the vocabulary":
        lambda *case: effect_of(case, case[3][1:], 0),
    "W_O is missing or W_U was centred over the wrong axis: the columns of W_U are the tokens":
        lambda *case: effect_of((*case[:2], case[2] - case[2].mean(0), None), case[3][1:], None),
    "log-probabilities, where logits were asked: a head's part of the logits has no softmax of its own":
        lambda *case: (case[0][:-1] @ case[1] @ case[2]).log_softmax(-1).gather(1, case[3][1:, None])[:, 0],
    "probabilities, where logits were asked: a head's part of the logits has no softmax of its own":
        lambda *case: (case[0][:-1] @ case[1] @ case[2]).softmax(-1).gather(1, case[3][1:, None])[:, 0],
    "the last position has no next token: leave it out":
        lambda *case: effect_of(case, case[3].roll(-1), rows=slice(None)),
    "the last position has no next token, and a zero in its place is one number too many: leave it out":
        lambda *case: torch.cat([slow_effect(*case), torch.zeros(1)]),
    "that is the mean over positions: one number for each position is asked for":
        lambda *case: slow_effect(*case).mean(),
}  # fmt: skip


# 8.4 the copying score


def heads_that_raise() -> list[tuple]:
    """What heads add for each of some tokens: with a constant in each row, and tokens of which some are lowered."""
    cases = []
    for seed, (n, d_vocab, copies) in enumerate(((6, 30, 1.5), (9, 20, 0.5), (4, 12, -1.0))):
        generator = torch.Generator().manual_seed(seed)
        tokens = torch.randperm(d_vocab, generator=generator)[:n]
        moved = torch.randn(n, d_vocab, generator=generator) + 2 * torch.randn(n, 1, generator=generator)
        moved[torch.arange(n), tokens] += copies
        cases.append((moved, tokens))
    return cases


def slow_copying(moved: Tensor, tokens: Tensor) -> float:
    """Source by source: what is raised among the prompt's tokens, and how much of it is the source's own."""
    shares = []
    for source in range(len(tokens)):
        among = [moved[source, token].item() for token in tokens]
        mean = sum(among) / len(among)
        raised = [max(0.0, logit - mean) for logit in among]
        shares.append(raised[source] / sum(raised))
    return sum(shares) / len(shares)


def among(moved: Tensor, tokens: Tensor) -> Tensor:
    """Among the prompt's own tokens, less their mean."""
    own = moved[:, tokens]
    return own - own.mean(-1, keepdim=True)


def raised_over_all(moved: Tensor, tokens: Tensor) -> Tensor:
    """The share of all that is raised in the whole vocabulary."""
    raised = (moved - moved.mean(-1, keepdim=True)).relu()
    return (raised.gather(1, tokens[:, None])[:, 0] / raised.sum(-1)).mean()


def share(raised: Tensor) -> Tensor:
    """The diagonal's share of each row, averaged."""
    return (raised.diagonal() / raised.sum(-1)).mean()


COPYING_MISTAKES = {
    "the whole vocabulary was taken: compare the source's own token with the other tokens of the prompt only":
        raised_over_all,
    "the mean over the whole vocabulary was taken away: take that over the prompt's own tokens":
        lambda m, t: share((m - m.mean(-1, keepdim=True))[:, t].relu()),
    "not centred: what is raised is what lies above the mean of the row":
        lambda m, t: share(m[:, t].relu()),
    "what is lowered counts as well: set negative entries to zero before you sum":
        lambda m, t: share(among(m, t).abs()),
    "that is the share of sources whose own token is raised most: a share of what is raised was asked":
        lambda m, t: (among(m, t).argmax(-1) == torch.arange(len(t))).double().mean(),
    "that is the mean logit of the own token: divide it by all that is raised in its row":
        lambda m, t: among(m, t).diagonal().mean(),
    "a softmax in place of the share: divide what is raised by its sum":
        lambda m, t: m[:, t].softmax(-1).diagonal().mean(),
    "the sums were divided by each other at the end: take the share of each row first, and then their mean":
        lambda m, t: among(m, t).relu().diagonal().sum() / among(m, t).relu().sum(),
    "columns were divided by their sums: rows are sources, and each row is a share of its own":
        lambda m, t: (among(m, t).relu().diagonal() / among(m, t).relu().sum(0)).mean(),
    "summed over sources, where their mean was asked":
        lambda m, t: (among(m, t).relu().diagonal() / among(m, t).relu().sum(-1)).sum(),
    "a share for each source, where their mean was asked":
        lambda m, t: among(m, t).relu().diagonal() / among(m, t).relu().sum(-1),
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "8.1": Exercise(prompts_with_repeats, slow_following, FOLLOWING_MISTAKES),
    "8.2": Exercise(sizes, judge=exposes),
    "8.3": Exercise(heads_on_texts, slow_effect, EFFECT_MISTAKES),
    "8.4": Exercise(heads_that_raise, slow_copying, COPYING_MISTAKES),
    "8.5": Exercise(rows_with_pairs, slow_pairs, PAIR_MISTAKES),
}
