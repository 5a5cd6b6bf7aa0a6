"""Scores against loops over every query and key, and against patterns whose score is known beforehand."""

import math

import pytest
import torch
from transformer_lens import head_detector

from walkthrough import behaviour, models


def random_pattern(batch, n_heads, n_pos):
    scores = torch.randn(batch, n_heads, n_pos, n_pos, generator=torch.Generator().manual_seed(0))
    return scores.masked_fill(torch.ones(n_pos, n_pos).triu(1).bool(), -math.inf).softmax(-1)


def test_previous_token_score_by_hand():
    pattern = random_pattern(2, 3, 7)
    by_hand = [sum(pattern[b, h, i, i - 1] for b in range(2) for i in range(2, 7)) / 10 for h in range(3)]
    torch.testing.assert_close(behaviour.previous_token_score(pattern), torch.stack(by_hand))
    always = torch.eye(7).roll(-1, 1).tril()[None, None]
    assert behaviour.previous_token_score(always) == 1


@pytest.mark.parametrize("times", [2, 3])
def test_prefix_matching_score_by_hand(times):
    length = 4
    tokens = behaviour.repeated_tokens(50, length, times, 1)[0].tolist()
    pattern = random_pattern(1, 2, len(tokens))
    by_hand = []
    for head in pattern[0]:
        paid = [
            sum(head[i, j] for j in range(2, i + 1) if (i - j) % length == length - 1)
            for i in range(length + 1, len(tokens))
        ]
        by_hand.append(sum(paid) / len(paid))
    torch.testing.assert_close(behaviour.prefix_matching_score(pattern, length), torch.stack(by_hand))
    for i in range(length + 1, len(tokens)):  # what those keys are: tokens that came after the present one
        assert all(tokens[j - 1] == tokens[i] for j in range(2, i + 1) if (i - j) % length == length - 1)


def test_a_perfect_induction_head_scores_one_and_a_copy_head_none():
    length, n_pos = 5, 11
    perfect, copying = torch.zeros(2, 1, 1, n_pos, n_pos)
    for i in range(n_pos):
        perfect[..., i, i - length + 1 if i > length else 0] = 1
        copying[..., i, i - length if i > length else 0] = 1
    assert behaviour.prefix_matching_score(perfect, length) == 1
    assert behaviour.prefix_matching_score(copying, length) == 0


def test_prefix_matching_agrees_with_transformer_lens(two_layer):
    length = 20
    tokens = behaviour.repeated_tokens(two_layer.cfg.d_vocab, length, 2, 1, seed=3)
    _, cache = two_layer.run_with_cache(tokens)
    pattern = cache["blocks.1.attn.hook_pattern"]
    detected = head_detector.get_induction_head_detection_pattern(tokens)
    theirs = (pattern[0] * detected)[:, length + 1 :].sum(-1).mean(-1)
    torch.testing.assert_close(behaviour.prefix_matching_score(pattern, length), theirs, rtol=1e-3, atol=1e-3)


def test_repeated_tokens_repeat():
    tokens = behaviour.repeated_tokens(30, 7, 3, 2, seed=1)
    assert tokens.shape == (2, 22)
    assert not tokens[:, 0].any()
    assert torch.equal(tokens[:, 1:8], tokens[:, 15:])
    assert tokens[:, 1:].all()
    assert not torch.equal(tokens, behaviour.repeated_tokens(30, 7, 3, 2, seed=2))


def test_losses_are_cross_entropies():
    model = models.tiny(1)
    rows = behaviour.repeated_tokens(64, 9, 1, 3)
    losses = behaviour.loss_per_position(model(rows[:, :-1]), rows)
    flat = torch.nn.functional.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten(), reduction="none")
    torch.testing.assert_close(losses.flatten(), flat)
    torch.testing.assert_close(losses.mean(), model(rows, return_type="loss"))


def test_copy_loss_by_hand():
    model = models.tiny(1)
    rows = behaviour.repeated_tokens(64, 6, 3, 4)
    by_hand = [
        sum(-model(row[None])[0, i - 1].log_softmax(-1)[row[i]] for i in range(7, 19)) / 12  # what copies 2 and 3 hold
        for row in rows
    ]
    torch.testing.assert_close(behaviour.copy_loss(model, rows, 6), torch.stack(by_hand))
    silence = [("blocks.0.attn.hook_z", lambda z, hook: 0 * z)]
    direct = behaviour.loss_per_position((model.W_E @ model.W_U)[rows[:, :-1]], rows)[:, 6:].mean(1)
    torch.testing.assert_close(behaviour.copy_loss(model, rows, 6, silence), direct)
    with pytest.raises(ValueError, match="say them twice"):
        behaviour.copy_loss(model, rows[:, :7], 6)


def test_two_matches_are_where_they_are_said_to_be():
    tokens, both, one = behaviour.two_matches(4096, 40, gap=6, seed=2)
    assert not tokens[:, 0].any()
    for row, i, j in zip(tokens, both.tolist(), one.tolist()):
        assert torch.equal(row[i - 2 : i], row[-2:])
        assert row[j - 1] == row[-1]
        assert row[j - 2] != row[-2]
        assert i != j
        assert max(i, j) < len(row) - 2
    assert (both < one).sum() == 20
    with pytest.raises(ValueError, match="take 4 or more"):
        behaviour.two_matches(64, 4, gap=3)
