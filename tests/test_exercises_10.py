"""The checks of notebook 10 accept right answers written in other ways, and name each classic mistake."""

import math

import torch

from walkthrough.exercises.check import verdict


def right_upto(order, embed, patterns, W_V, W_O, W_U):
    by_order = [embed] + [torch.zeros_like(embed)] * len(patterns)
    for A, V, O in zip(patterns, W_V, W_O):
        through = [(A @ resid @ V @ O).sum(0) for resid in by_order]
        by_order = [embed] + [here + through[n] for n, here in enumerate(by_order[1:])]
    return sum(by_order[: order + 1]) @ W_U


def right_count(n_layers, n_heads):
    return sum(math.comb(n_layers, length) * n_heads**length for length in range(2, n_layers + 1))


def right_worths(direct, heads, targets):
    loss = lambda logits: torch.nn.functional.cross_entropy(logits, targets)
    everything = direct + heads.sum(0)
    return [[loss(direct) - loss(direct + head), loss(everything - head) - loss(everything)] for head in heads]


def right_difference(before_a, after_a, before_b, after_b):
    wins = (before_a + after_b - after_a - before_b).double().mean(dim=1)
    return wins.mean(), wins.var().div(len(wins)).sqrt()


RIGHT = {"10.1": right_upto, "10.2": right_count, "10.3": right_worths, "10.4": right_difference}


GENERIC = [
    ("10.1", lambda *case: right_upto(*case).T, "transposed"),
    ("10.1", lambda *case: -right_upto(*case), "the sign is flipped"),
    ("10.1", lambda *case: right_upto(*case) / 3**0.5, "constant factor 0.577"),
    ("10.1", lambda *case: right_upto(*case)[-1], "wrong shape"),
    ("10.1", lambda *case: right_upto(*case).roll(1, 0), "off by one along axis 0"),
    ("10.2", lambda *case: -right_count(*case), "the sign is flipped"),
    ("10.2", lambda *case: right_count(*case) + 2, "the values differ"),
    ("10.3", lambda *case: torch.tensor(right_worths(*case)).T, "transposed"),
    ("10.3", lambda *case: torch.tensor(right_worths(*case)) / math.log(2), "constant factor 1.443"),
    ("10.3", lambda *case: torch.tensor(right_worths(*case))[:, 0], "wrong shape"),
    ("10.4", lambda *case: right_difference(*case)[0], "wrong shape"),
    ("10.4", lambda *case: right_difference(*case)[::-1], "the values differ"),
    *((label, lambda *case: None, "returned None") for label in RIGHT),
]


def test_one_order_is_not_enough_to_pass():
    """Right for order 1, where heads read the embedding only, but wrong for order 2."""

    def singles(order, embed, patterns, W_V, W_O, W_U):
        return (embed + (patterns @ embed @ W_V @ W_O).sum((0, 1))) @ W_U

    assert verdict("10.1", singles).mark == "✗"
