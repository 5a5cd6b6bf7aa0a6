"""The checks of notebook 10 accept right answers written in other ways, and name each classic mistake."""

import math

import torch

from walkthrough.exercises import EXERCISES
from walkthrough.exercises.check import verdict
from walkthrough.exercises.orders import summed_paths


def right_worths(direct, heads, targets):
    loss = lambda logits: torch.nn.functional.cross_entropy(logits, targets)
    everything = direct + heads.sum(0)
    return [[loss(direct) - loss(direct + head), loss(everything - head) - loss(everything)] for head in heads]


def right_slope(logits, term, targets):
    """By autograd."""
    with torch.enable_grad():
        size = torch.zeros(len(logits), 1, requires_grad=True)
        loss = torch.nn.functional.cross_entropy(logits + size * term, targets, reduction="sum")
        return torch.autograd.grad(loss, size)[0].squeeze(1)


def right_upto(order, embed, patterns, W_V, W_O, W_U):
    """A stream for each order, in one go through the layers."""
    by_order = [embed] + [torch.zeros_like(embed)] * len(patterns)
    for A, V, O in zip(patterns, W_V, W_O):
        through = [(A @ resid @ V @ O).sum(0) for resid in by_order]
        by_order = [embed] + [here + through[n] for n, here in enumerate(by_order[1:])]
    return sum(by_order[: order + 1]) @ W_U


def right_difference(before_a, after_a, before_b, after_b):
    wins = (before_a + after_b - after_a - before_b).double().mean(dim=1)
    return wins.mean(), wins.var().div(len(wins)).sqrt()


def right_leaving_out(full, term, targets):
    """By the formulas: probabilities of the full sum, and the divergence of those without the term."""
    p, without = full.softmax(1), (full - term).log_softmax(1)
    slope = -(p * term).sum(1) + term[range(len(term)), targets]
    return torch.stack([slope, (p * (p.log() - without)).sum(1)], 1)


RIGHT = {
    "10.1": right_worths,
    "10.2": right_slope,
    "10.3": right_upto,
    "10.4": right_difference,
    "10.5": right_leaving_out,
}


GENERIC = [
    ("10.1", lambda *case: torch.tensor(right_worths(*case)).T, "transposed"),
    ("10.1", lambda *case: torch.tensor(right_worths(*case)) / 3, "constant factor 0.3333"),
    ("10.1", lambda *case: torch.tensor(right_worths(*case))[:, 0], "wrong shape"),
    ("10.2", lambda *case: right_slope(*case).mean(), "that is the mean over axis 0"),
    ("10.2", lambda *case: right_slope(*case)[:, None], "an axis of length 1 too many"),
    ("10.2", lambda *case: right_slope(*case) / math.log(2), "constant factor 1.443"),
    ("10.3", lambda *case: right_upto(*case).T, "transposed"),
    ("10.3", lambda *case: -right_upto(*case), "the sign is flipped"),
    ("10.3", lambda *case: right_upto(*case) / 3**0.5, "constant factor 0.577"),
    ("10.3", lambda *case: right_upto(*case)[-1], "wrong shape"),
    ("10.3", lambda *case: right_upto(*case).roll(1, 0), "off by one along axis 0"),
    ("10.3", lambda order, *case: right_upto(order, *case) * torch.tensor(order) / order, "holds nan"),
    ("10.4", lambda *case: right_difference(*case)[0], "wrong shape"),
    ("10.4", lambda *case: right_difference(*case)[::-1], "the values differ"),
    ("10.5", lambda *case: right_leaving_out(*case).T, "transposed"),
    ("10.5", lambda *case: right_leaving_out(*case).sum(1), "that is the sum over axis 1"),
    ("10.5", lambda *case: right_leaving_out(*case).mean(0), "that is the mean over axis 0"),
    *((label, lambda *case: None, "returned None") for label in RIGHT),
]


def test_no_number_of_heads_is_enough_for_every_order():
    """Right up to some order, wrong above it, or wrong where the model has more layers than the order."""
    for most in range(4):
        limited = lambda *case, most=most: summed_paths(lambda n, layers: len(layers) <= min(n, most), *case)
        assert verdict("10.3", limited).mark == "✗"
    shallow = lambda n, *case: summed_paths(
        lambda n, layers: len(layers) <= n and max(layers, default=0) <= n, n, *case
    )
    assert verdict("10.3", shallow).mark == "✗"


def test_the_models_of_the_check_have_no_two_sizes_alike():
    for _, embed, patterns, W_V, _, W_U in EXERCISES["10.3"].cases():
        assert patterns.shape[0] != patterns.shape[1]
        assert len({embed.shape[0], embed.shape[1], W_V.shape[-1], W_U.shape[1]}) == 4
        assert not torch.allclose(patterns[0], patterns[1])


def test_the_paper_s_own_rounds_are_accepted():
    """Heads give and pass on one step late, as in the paper; each head by itself."""

    def rounds(order, embed, patterns, W_V, W_O, W_U):
        given = torch.zeros(*patterns.shape[:2], *embed.shape)
        for _ in range(order):
            before, given = given, torch.zeros_like(given)
            for layer, head in torch.cartesian_prod(*map(torch.arange, patterns.shape[:2])).tolist():
                stream = embed + before[:layer].sum((0, 1))
                given[layer, head] = patterns[layer, head] @ stream @ W_V[layer, head] @ W_O[layer, head]
        return (embed + given.sum((0, 1))) @ W_U

    assert verdict("10.3", rounds).mark == "✓"


def test_a_slope_of_centred_logits_is_the_same_slope():
    shifted = lambda x, d, t: right_slope(x - x.mean(1, keepdim=True), d - d.mean(1, keepdim=True), t)
    assert verdict("10.2", shifted).mark == "✓"
