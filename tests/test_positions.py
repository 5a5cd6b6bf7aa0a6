"""Shares of terms, attention by distance, and cut patterns, by loops."""

import pytest
import torch

from walkthrough.one_layer import positions


@pytest.fixture
def patterns():
    scores = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return scores.masked_fill(torch.ones(8, 8).triu(1).bool(), -torch.inf).softmax(-1)


def test_shares_are_covariances_over_the_variance_by_loops():
    terms = (
        torch.randn(4, 2, 5, 5, generator=torch.Generator().manual_seed(1))
        * torch.tensor([1, 2, 3, 4])[:, None, None, None]
    )
    shares, deviation = positions.term_shares(terms)
    covariances, variance, n = torch.zeros(4), 0.0, 0
    for row in range(2):
        for query in range(5):
            seen = terms[:, row, query, : query + 1]
            centred = seen - seen.mean(1, keepdim=True)
            score = centred.sum(0)
            covariances += (centred * score).sum(1)
            variance += score.square().sum().item()
            n += query + 1
    torch.testing.assert_close(shares, covariances / variance)
    assert deviation.item() == pytest.approx((variance / n) ** 0.5, rel=1e-5)
    assert shares.sum().item() == pytest.approx(1, abs=1e-5)


def test_what_is_added_to_a_whole_row_has_no_share():
    constant = torch.arange(5.0)[:, None].expand(2, 5, 5)
    terms = torch.stack([constant, torch.randn(2, 5, 5, generator=torch.Generator().manual_seed(2))])
    torch.testing.assert_close(positions.term_shares(terms)[0], torch.tensor([0.0, 1.0]))


def test_total_variation_is_what_has_to_be_moved(patterns):
    one, other = torch.tensor([[1.0, 0.0], [0.25, 0.75]]), torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    assert positions.total_variation(one, other).tolist() == [0, 0.25]
    assert positions.total_variation(one, one.flip(1)).tolist() == [1, 0.5]
    moved = positions.total_variation(patterns, patterns[0, 0])
    assert moved.shape == (2, 3, 8)
    torch.testing.assert_close(moved, (patterns - patterns[0, 0]).clamp_min(0).sum(-1))


@pytest.mark.parametrize("reach", [-1, 0, 2, 99])
def test_a_cut_pattern_keeps_bos_and_what_is_near(patterns, reach):
    cut = positions.within_reach(patterns, reach)
    for query in range(8):
        for key in range(query + 1):
            kept = reach >= 0 and (key == 0 or query - key <= reach)
            assert torch.equal(cut[..., query, key], patterns[..., query, key] * kept)
