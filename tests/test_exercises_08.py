"""The checks of notebook 08 accept right answers written in other ways, and name each classic mistake."""

import itertools

import pytest
import torch
from einops import einsum

from walkthrough.exercises import EXERCISES
from walkthrough.exercises.check import verdict
from walkthrough.two_layers import in_context, induction


def right_following(pattern, tokens):
    same = (tokens[:, None] == tokens[None]).float().tril(-1)  # [query key]: the key holds the query's token
    follows = same.roll(1, 1).tril()
    return einsum(pattern, follows, "head query key, query key -> head query")[:, same.any(1)].mean(1)


def right_shuffle(d_vocab, length, batch, seed=0):
    torch.manual_seed(seed)
    first = torch.rand(batch, d_vocab - 1).argsort(-1)[:, :length] + 1
    second = first.gather(1, torch.rand(batch, length).argsort(-1))
    return torch.cat([torch.zeros(batch, 1, dtype=torch.int32), first.int(), second.int()], 1)


def right_effect(z, W_O, W_U, tokens):
    centred = W_U - W_U.mean(1, keepdim=True)
    return einsum(z[:-1] @ W_O, centred[:, tokens[1:]], "pos d_model, d_model pos -> pos")


def right_copying(moved, tokens):
    own = moved[:, tokens]
    raised = torch.maximum(own - own.mean(1)[:, None], torch.tensor(0.0))
    return torch.stack([raised[i, i] / raised[i].sum() for i in range(len(tokens))]).mean()


def right_pairs(rows):
    found = []
    for row in rows.tolist():
        seen = set()
        marks = []
        for pair in itertools.pairwise(row):
            marks.append(pair in seen)
            seen.add(pair)
        found.append(marks)
    return torch.tensor(found)


RIGHT = {
    "8.1": right_following,
    "8.2": right_shuffle,
    "8.3": right_effect,
    "8.4": right_copying,
    "8.5": right_pairs,
}


def nothing_of_itself(pattern, tokens):
    """The first edition's check let this pass: its prompts never had a token twice in a row."""
    same = (tokens[:, None] == tokens[None]).float().tril(-1)
    follows = same.roll(1, 1).tril(-1)
    return einsum(pattern, follows, "head query key, query key -> head query")[:, same.any(1)].mean(1)


def dropped_if_beside_itself(pattern, tokens):
    same = (tokens[:, None] == tokens[None]).float().tril(-1)
    follows = same.roll(1, 1).tril(-1)
    return einsum(pattern, follows, "head query key, query key -> head query")[:, follows.any(1)].mean(1)


def drawn(d_vocab, length, batch, seed, order=None, start=1, stop=None, with_bos=True):
    """A wrong way of drawing: one order for all rows, or tokens from elsewhere."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(batch):
        once = start + torch.randperm((stop or d_vocab) - start, generator=generator)[:length]
        again = once[torch.randperm(length, generator=generator) if order is None else order]
        rows.append(torch.cat([torch.zeros(int(with_bos)).long(), once, again]))
    return torch.stack(rows)


def one_set(d_vocab, length, batch, seed):
    rows = drawn(d_vocab, length, 1, seed)[:, 1 : length + 1].repeat(batch, 1)
    shuffle = lambda: rows.gather(1, torch.rand(batch, length).argsort(-1))
    return torch.cat([torch.zeros(batch, 1).long(), shuffle(), shuffle()], 1)


def sorted_first(d_vocab, length, batch, seed):
    rows = drawn(d_vocab, length, batch, seed)
    rows[:, 1 : length + 1] = rows[:, 1 : length + 1].sort(1).values
    return rows


def with_replacement(d_vocab, length, batch, seed):
    once = torch.randint(1, d_vocab, (batch, length), generator=torch.Generator().manual_seed(seed))
    return torch.cat([torch.zeros(batch, 1).long(), once, once.flip(1)], 1)


def turned(d, n, batch, seed):
    return drawn(d, n, batch, seed, (torch.arange(n) + 3) % n)


GENERIC = [
    ("8.1", nothing_of_itself, "in `a a` the second token is itself what followed the first: the query's own key"),
    ("8.1", dropped_if_beside_itself, "in `a a` the second token is itself what followed the first: such a query"),
    ("8.1", lambda *case: right_following(*case)[:2], "wrong shape"),
    ("8.1", lambda *case: 2 * right_following(*case), "constant factor 2"),
    ("8.1", lambda *case: right_following(*case).roll(1), "off by one"),
    ("8.2", lambda d, n, batch, seed: drawn(d, n, batch, seed, torch.arange(n)), "the same order twice"),
    ("8.2", lambda d, n, batch, seed: drawn(d, n, batch, seed, torch.arange(n).flip(0)), "backwards in every row"),
    ("8.2", lambda d, n, batch, seed: drawn(d, n, batch, seed, torch.randperm(n)), "the rows are shuffled alike"),
    ("8.2", turned, "the rows are shuffled alike"),
    ("8.2", one_set, "every row holds the same tokens"),
    ("8.2", sorted_first, "in order of the ids"),
    ("8.2", with_replacement, "stands twice in a first half"),
    ("8.2", lambda d, n, batch, seed: drawn(d, n, batch, seed, start=0), "<BOS> (token 0) stands inside"),
    ("8.2", lambda d, n, batch, seed: drawn(d, n, batch, seed, start=2, stop=d + 1), "outside the vocabulary"),
    ("8.2", lambda d, n, batch, seed: drawn(d, n - 1, batch, seed, start=1, stop=d - 1), "wrong shape"),
    ("8.2", lambda d, n, batch, seed: drawn(d, n, batch, seed, with_bos=False), "wrong shape"),
    ("8.2", lambda d, n, batch, seed: drawn(d, n, 1, seed)[0], "wrong shape"),
    ("8.2", lambda *case: right_shuffle(*case) + 1, "starts with <BOS>"),
    ("8.2", lambda *case: right_shuffle(*case).double(), "whole numbers"),
    ("8.2", lambda *case: right_shuffle(*case).tolist(), "return a tensor"),
    ("8.2", lambda d, n, batch, seed: torch.cat([drawn(d, n, batch, seed)[:, : n + 1],
                                                 drawn(d, n, batch, seed + 1)[:, 1 : n + 1]], 1), "very tokens"),
    ("8.3", lambda *case: -right_effect(*case), "sign is flipped"),
    ("8.3", lambda *case: right_effect(*case)[:, None], "an axis of length 1"),
    ("8.3", lambda z, W_O, W_U, t: right_effect(z, W_O, W_U, t) * 3, "constant factor 3"),
    ("8.4", lambda *case: 1 - right_copying(*case), "the values differ"),
    ("8.4", lambda *case: right_copying(*case)[None], "an axis of length 1"),
    ("8.5", lambda rows: right_pairs(rows)[:, 1:], "wrong shape"),
    ("8.5", lambda rows: right_pairs(rows).mT, "transposed"),
    *((label, lambda *case: None, "returned None") for label in RIGHT),
]  # fmt: skip


def as_counts(rows):
    return torch.tensor(right_pairs(rows).int().tolist())


def numbered(rows):
    pairs = rows[:, :-1].long() * 1000 + rows[:, 1:]
    return torch.stack([(pairs[:, :i] == pairs[:, i : i + 1]).any(1) for i in range(pairs.shape[1])], 1)


@pytest.mark.parametrize(
    ("label", "answer"),
    [
        ("8.1", in_context.following_score),
        ("8.2", in_context.shuffled_twice),
        ("8.2", lambda d, n, batch, seed: in_context.shuffled_twice(d, n, batch, seed + 77)),
        ("8.2", drawn),
        ("8.3", induction.logit_effect),
        ("8.4", in_context.copying_score),
        ("8.5", in_context.completes_pair),
        ("8.5", as_counts),
        ("8.5", numbered),
    ],
)
def test_the_functions_of_the_package_and_other_ways_are_right_too(label, answer):
    result = verdict(label, answer)
    assert (result.mark, result.sentence) == ("✓", "right")


@pytest.mark.parametrize("label", ["8.1", "8.3", "8.4", "8.5"])
def test_every_case_tells_every_mistake_from_the_others(label):
    exercise = EXERCISES[label]
    answers = {
        sentence: [torch.as_tensor(mistake(*case)).double() for case in exercise.cases()]
        for sentence, mistake in exercise.mistakes.items()
    }
    for sentence, mine in answers.items():
        for other, theirs in answers.items():
            alike = all(a.shape == b.shape and torch.allclose(a, b, equal_nan=True) for a, b in zip(mine, theirs))
            assert alike == (sentence == other), (sentence, other)
