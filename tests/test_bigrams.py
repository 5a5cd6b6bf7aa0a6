"""Every function of `bigrams` by a second road: loops, other libraries' losses, or a case whose answer is known."""

import math
from inspect import unwrap  # the type checker refuses some of what a learner without it would pass

import matplotlib.pyplot as plt
import pytest
import torch
from torch.distributions import Categorical, kl_divergence
from torch.nn.functional import cross_entropy

from walkthrough import bigrams, figures, models
from walkthrough.corpus import bigram_counts

COUNTS = torch.tensor([[0, 0, 0, 0], [5, 1, 0, 2], [0, 7, 3, 1], [2, 0, 0, 9]])


def random_table(seed: int = 0, n: int = 4) -> torch.Tensor:
    return torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).log_softmax(-1)


def weighted_kl(counts: torch.Tensor, log_probs: torch.Tensor) -> torch.Tensor:
    return counts.sum(1).double() / counts.sum() @ bigrams.row_kl(counts, log_probs)


def test_conditional_by_counting_pair_by_pair():
    table = bigrams.conditional(COUNTS)
    for first in range(4):
        for second in range(4):
            times = COUNTS[first].sum().item()
            assert table[first, second].item() == pytest.approx(COUNTS[first, second].item() / times if times else 0)


def test_log_probs_are_what_the_model_gives_at_every_position():
    model = models.tiny(0)
    tokens = torch.tensor([[0, 5, 9, 5, 63]])
    table = bigrams.bigram_log_probs(model.W_E, model.W_U)
    torch.testing.assert_close(model(tokens).log_softmax(-1)[0], table[tokens[0]])


def test_row_kl_is_that_of_torch_distributions():
    log_probs, counts = random_table(), COUNTS + 1
    expected = kl_divergence(Categorical(probs=counts.double()), Categorical(logits=log_probs))
    torch.testing.assert_close(bigrams.row_kl(counts, log_probs), expected)


def test_row_kl_of_a_table_to_itself_and_of_an_uncounted_row_is_zero():
    torch.testing.assert_close(
        bigrams.row_kl(COUNTS, bigrams.conditional(COUNTS).log()), torch.zeros(4, dtype=torch.float64)
    )
    assert bigrams.row_kl(COUNTS, random_table())[0] == 0


def test_loss_is_the_mean_cross_entropy_of_the_pairs_written_out():
    log_probs = random_table()
    pairs = torch.tensor([[a, b] for a in range(4) for b in range(4) for _ in range(COUNTS[a, b])])
    expected = cross_entropy(log_probs[pairs[:, 0]], pairs[:, 1])
    torch.testing.assert_close(bigrams.loss_on_counts(COUNTS, log_probs), expected)


def test_loss_of_a_model_without_layers_needs_the_counts_only():
    model = models.tiny(0)
    rows = torch.randint(64, (5, 20), generator=torch.Generator().manual_seed(0))
    ran = cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
    counted = bigrams.loss_on_counts(bigram_counts(rows, 64), bigrams.bigram_log_probs(model.W_E, model.W_U))
    torch.testing.assert_close(counted, ran.double(), rtol=1e-5, atol=1e-5)


def test_loss_is_conditional_entropy_plus_weighted_kl():
    log_probs = random_table(1)
    joint, first = Categorical(probs=COUNTS.flatten().double()), Categorical(probs=COUNTS.sum(1).double())
    conditional_entropy = joint.entropy() - first.entropy()
    torch.testing.assert_close(bigrams.loss_on_counts(COUNTS, bigrams.conditional(COUNTS).log()), conditional_entropy)
    torch.testing.assert_close(
        bigrams.loss_on_counts(COUNTS, log_probs) - weighted_kl(COUNTS, log_probs), conditional_entropy
    )


def test_a_pair_given_probability_zero_costs_infinitely_much():
    unseen = COUNTS.clone()
    unseen[1, 2] = 1
    assert bigrams.loss_on_counts(unseen, bigrams.conditional(COUNTS).log()) == math.inf


def test_smoothing_moves_rows_from_the_counts_towards_the_overall_shares():
    overall = (COUNTS.sum(0) + 1) / (COUNTS.sum() + 4)
    torch.testing.assert_close(bigrams.smoothed(COUNTS, 10**9), overall.expand(4, 4).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(
        bigrams.smoothed(10**9 * COUNTS, 1)[1:], bigrams.conditional(COUNTS)[1:], rtol=0, atol=1e-6
    )
    table = bigrams.smoothed(COUNTS, 3)
    assert (table > 0).all()
    torch.testing.assert_close(table.sum(1), torch.ones(4, dtype=torch.float64))
    assert table[2, 1].item() == pytest.approx((7 + 3 * 9 / 34) / (11 + 3))


def test_a_fit_of_full_rank_reaches_the_conditional_entropy():
    counts = COUNTS[1:, 1:] + 1
    floor = bigrams.loss_on_counts(counts, bigrams.conditional(counts).log())
    W_E, W_U = bigrams.fit_low_rank(counts, d_model=3, steps=800)
    assert floor <= bigrams.loss_on_counts(counts, bigrams.bigram_log_probs(W_E, W_U)) + 1e-6 < floor + 1e-4


def table_of_rank_two() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    table = (torch.randn(12, 2, generator=generator) @ torch.randn(2, 12, generator=generator)).softmax(-1)
    return (1e6 * table).long()


def test_a_fit_recovers_a_table_that_has_the_rank_it_may_use():
    counts = table_of_rank_two()
    fits = [bigrams.fit_low_rank(counts, d_model, steps=800) for d_model in (1, 2)]
    kl = [weighted_kl(counts, bigrams.bigram_log_probs(*fit)) for fit in fits]
    assert kl[1] < 1e-3 < 0.05 < kl[0]


def test_where_the_best_fit_is_unique_two_seeds_differ_by_a_gauge_alone():
    (one, _), (two, _) = (bigrams.fit_low_rank(table_of_rank_two(), 2, seed, 800) for seed in (0, 1))
    turned = one @ torch.linalg.lstsq(one, two).solution
    assert not torch.allclose(one, two, atol=0.1)
    torch.testing.assert_close(turned, two, rtol=0, atol=1e-2)


def test_the_seed_fixes_a_fit_and_gradients_do_not_leak():
    one, same, other = (bigrams.fit_low_rank(COUNTS, 2, seed, 5) for seed in (0, 0, 1))
    assert torch.equal(one[0], same[0])
    assert not torch.equal(one[0], other[0])
    assert not one[0].requires_grad


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: bigrams.conditional(-COUNTS), "counts cannot be negative"),
        (lambda: unwrap(bigrams.row_kl)(COUNTS, random_table(0, 5)), "tables of the same shape"),
        (lambda: unwrap(bigrams.loss_on_counts)(COUNTS, random_table(0, 5)), "two tables of the same shape"),
        (lambda: bigrams.loss_on_counts(0 * COUNTS, random_table()), "at least one pair counted"),
        (lambda: bigrams.smoothed(COUNTS, 0), "strength must be above zero"),
        (lambda: bigrams.fit_low_rank(COUNTS, 0), "d_model must be at least 1"),
    ],
)
def test_bad_input_gets_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_figures_draw_the_numbers_they_are_given():
    first, second = torch.tensor([[0.5, 0.2], [0.9, 0.1]]), torch.tensor([[0.4, 0.3], [0.8, 0.0]])
    axes = figures.basics.next_tokens(first, second, [[".", " x"], ["\n", "$"]], [" self", "def"])
    assert [ax.get_title() for ax in axes] == ["after ␣self", "after def"]
    assert [bar.get_width() for bar in axes[1].patches] == pytest.approx([0.9, 0.1, 0.8, 0.0])
    assert [label.get_text() for label in axes[0].get_yticklabels()] == [".", "␣x"]
    assert axes[0].yaxis_inverted()
    assert axes[0].get_xlim() == axes[1].get_xlim()  # lengths can be compared across panels
    ax = figures.basics.agreement(torch.arange(4.0), torch.arange(4.0) ** 2, x="seed 0", y="seed 1")
    assert (ax.collections[0].get_array().sum(), ax.get_ylabel()) == (4, "seed 1")
    plt.close("all")
