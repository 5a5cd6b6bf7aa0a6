"""The checks of notebook 13 accept right answers written in other ways, and name each classic mistake."""

import pytest
import torch

from walkthrough.exercises import EXERCISES
from walkthrough.exercises.check import verdict
from walkthrough.two_layers import causes


def right_smear(keys, alpha):
    """As a product with a matrix of two diagonals for each head."""
    n_pos, share = keys.shape[-2], 1 / (1 + (-alpha).exp())
    own, before = torch.eye(n_pos), torch.diag(torch.ones(n_pos - 1), -1)
    mixing = share[:, None, None] * own + (1 - share)[:, None, None] * before
    mixing[:, 0, 0] = 1
    return mixing @ keys


def right_stream(embed, patterns, W_V, W_O, silent):
    """A factor for each head: 0 or 1."""
    stream = embed
    for layer, (V, O) in enumerate(zip(W_V, W_O)):
        works = torch.tensor([float((layer, head) not in silent) for head in range(len(V))])
        moved = patterns[layer] @ (stream[:, None] @ V @ O)
        stream = stream + (works[:, None, None] * moved).sum(1)
    return stream


def right_scores(parts, W_Q, W_K):
    """Through the product W_Q W_K^T."""
    left = parts @ (W_Q @ W_K.T)
    return (left[:, None] @ parts[None].mT) * W_Q.shape[1] ** -0.5


def right_attention(scores, term):
    """By exponentials."""
    raised = (scores - term).double().exp().tril()
    return raised / raised.sum(-1, keepdim=True)


def right_follower(pattern, length, back):
    """By diagonals, cut to the same queries."""
    first, n = max(length, back) + 1, pattern.shape[-1]
    both = []
    for distance in (length - 1, back):
        diagonal = pattern.diagonal(-distance, dim1=-2, dim2=-1)[..., first - distance :]
        assert diagonal.shape[-1] == n - first
        both.append(diagonal.mean(-1).mean(0))
    return torch.stack(both, 1)


RIGHT = {
    "13.1": right_smear,
    "13.2": right_stream,
    "13.3": right_scores,
    "13.4": right_attention,
    "13.5": right_follower,
}
PACKAGE = {
    "13.1": causes.smear,
    "13.2": causes.stream_without,
    "13.3": causes.score_parts,
    "13.4": causes.attention_without,
    "13.5": causes.follower_and_fixed,
}
GENERIC = [
    ("13.1", lambda *case: -right_smear(*case), "the sign is flipped"),
    ("13.1", lambda *case: right_smear(*case).mT, "transposed"),
    ("13.1", lambda *case: right_smear(*case)[..., 0], "wrong shape"),
    ("13.2", lambda *case: right_stream(*case) / 2, "constant factor 0.5"),
    ("13.2", lambda *case: right_stream(*case).mean(0), "that is the mean over axis 0"),
    ("13.3", lambda *case: right_scores(*case) * 3, "constant factor 3"),
    ("13.3", lambda *case: right_scores(*case).mean(2), "that is the mean over axis 2"),
    ("13.4", lambda *case: right_attention(*case).mT, "transposed"),
    ("13.4", lambda *case: right_attention(*case) * 2, "constant factor 2"),
    ("13.5", lambda *case: right_follower(*case).T, "transposed"),
    ("13.5", lambda *case: right_follower(*case)[:, 0], "wrong shape"),
    ("13.5", lambda pattern, length, back: pattern[:, :, length + 1 :].mean((0, 2)), "shape"),
]


@pytest.mark.parametrize("label", PACKAGE)
def test_what_the_package_does_is_right(label):
    assert verdict(label, PACKAGE[label]).sentence == "right"


@pytest.mark.parametrize("label", PACKAGE)
def test_the_slow_way_agrees_with_another_to_many_digits(label):
    for case in EXERCISES[label].cases():
        torch.testing.assert_close(
            torch.as_tensor(EXERCISES[label].oracle(*case)).float(), RIGHT[label](*case).float(), rtol=1e-4, atol=1e-5
        )


def test_no_two_mistakes_give_the_same():
    for label in PACKAGE:
        exercise = EXERCISES[label]
        answers = [*exercise.mistakes.values(), exercise.oracle]
        given = [torch.cat([torch.as_tensor(f(*case)).flatten() for case in exercise.cases()]) for f in answers]
        for i, one in enumerate(given):
            for other in given[:i]:
                assert one.shape != other.shape or not torch.allclose(one, other, atol=1e-4)


def test_the_distance_of_the_check_is_never_that_of_the_follower():
    for _, length, back in EXERCISES["13.5"].cases():
        assert back not in (length, length - 1)
