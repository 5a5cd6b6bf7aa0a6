"""Toy models, phases and the bridge to tokens, each by a second road."""

import math

import matplotlib.pyplot as plt
import pytest
import torch

from walkthrough import figures, models
from walkthrough.beyond import bridge, phases, superposition


def random_models(seed=0, n_models=3, n_features=6, n_dims=2):
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn(n_models, n_features, n_dims, generator=generator)
    b = 0.3 * torch.randn(n_models, n_features, generator=generator)
    return W, b, generator


def test_a_model_reads_back_what_it_wrote():
    W, b, generator = random_models()
    x = torch.rand(3, 4, 6, generator=generator)
    out = superposition.reconstruct(x, W, b)
    for model, sample, i in torch.cartesian_prod(torch.arange(3), torch.arange(4), torch.arange(6)).tolist():
        read = sum(float(x[model, sample, j] * (W[model, j] @ W[model, i])) for j in range(6))
        assert out[model, sample, i] == pytest.approx(max(0, read + float(b[model, i])), abs=1e-5)


@pytest.mark.parametrize("linear", [False, True])
def test_the_gradients_are_those_of_autograd(linear):
    W, b, generator = random_models()
    x, importance = torch.rand(3, 5, 6, generator=generator), torch.rand(6, generator=generator)
    with torch.enable_grad():
        W.requires_grad_(), b.requires_grad_()
        out = x @ W @ W.mT + b[:, None] if linear else superposition.reconstruct(x, W, b)
        expected = torch.autograd.grad(superposition.weighted_loss(x, out, importance).sum(), (W, b))
    found = superposition.gradients(x, W.detach(), b.detach(), importance, linear)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_features_are_there_as_often_as_asked_and_uniform_then():
    u = torch.rand(50_000, 3, generator=torch.Generator().manual_seed(0))
    x = superposition.sparse_features(u, torch.tensor([1.0, 0.3, 0.02]))
    for density, features in zip((1.0, 0.3, 0.02), x):
        there = features[features > 0]
        assert len(there) / features.numel() == pytest.approx(density, abs=0.01)
        assert there.mean() == pytest.approx(0.5, abs=0.02)
        assert there.std() == pytest.approx(12**-0.5, abs=0.02)
        assert features.var() == pytest.approx(density / 3 - density**2 / 4, abs=0.003)


def test_dimensionality_of_regular_shapes_and_its_budget():
    square = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    torch.testing.assert_close(superposition.dimensionality(square), torch.full((4,), 0.5))
    W = torch.randn(40, 7, generator=torch.Generator().manual_seed(1))
    D = superposition.dimensionality(W)
    assert D.sum() <= 7
    leverage = (W @ torch.linalg.inv(W.T @ W) * W).sum(1)
    assert (leverage + 1e-5 >= D).all()
    assert superposition.dimensionality(torch.tensor([[0.0, 0], [1, 0]])).tolist() == [0, 1]


def test_the_dimensions_per_feature_of_a_square_are_one_half():
    square = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    assert superposition.dimensions_per_feature(square) == 0.5


def test_no_nudge_of_the_same_length_is_worse():
    W, _, generator = random_models()
    W, size = W[0], 0.3
    best = superposition.worst_nudge(W, 2, size)
    assert best.norm() == pytest.approx(size)
    rise = best @ W @ W[2]
    assert rise == pytest.approx(
        float(size * W[2].square().sum() / superposition.dimensionality(W)[2].sqrt()), rel=1e-4
    )
    others = torch.randn(500, 6, generator=generator)
    others = size * others / others.norm(dim=1, keepdim=True)
    assert (others @ W @ W[2] < rise).all()


def test_a_linear_model_reaches_its_floor():
    density, importance = torch.tensor([0.3]), torch.tensor([0.5, 1.0, 0.3, 0.8])
    data = superposition.sparsity_sweep(4, density)
    W, b = superposition.train(data, 2, importance, steps=400, linear=True)
    x = superposition.sparse_features(torch.rand(20_000, 4, generator=torch.Generator().manual_seed(1)), density)
    loss = superposition.weighted_loss(x, x @ W @ W.mT + b[:, None], importance)
    assert loss.item() == pytest.approx(float(superposition.linear_floor(0.3, importance, 2)), rel=0.05)


@pytest.mark.parametrize("kind", ["correlated", "anticorrelated", "independent"])
def test_pairs_come_together_as_often_as_their_kind_says(kind):
    draw = superposition.pairs(kind, 2, 3, 0.2, batch=20_000)
    there = draw(torch.Generator().manual_seed(0)) > 0
    assert there.shape == (2, 20_000, 6)
    assert there.double().mean() == pytest.approx(0.2, abs=0.01)
    both = (there[..., 0::2] & there[..., 1::2]).double().mean()
    assert both == pytest.approx({"correlated": 0.2, "anticorrelated": 0, "independent": 0.04}[kind], abs=0.01)
    across = (there[..., 0] & there[..., 2]).double().mean()
    assert across == pytest.approx(0.04, abs=0.01)


def test_there_are_three_kinds_of_pairs():
    with pytest.raises(ValueError, match="no kind"):
        superposition.pairs("twin", 1, 1, 0.1)


def test_the_closed_form_losses_are_those_of_the_models_they_speak_of():
    """By sampling, and by the grid."""
    density, importance = torch.tensor([0.4, 0.8]), torch.tensor([0.6, 3.0])
    u = torch.rand(400_000, 2, generator=torch.Generator().manual_seed(0))
    x = superposition.sparse_features(u, density)
    alone, pair = torch.tensor([[1.0], [0.0]]), torch.tensor([[1.0], [-1.0]])
    for i in range(2):
        weights = torch.stack([torch.tensor(1.0), importance[i]])
        bias = torch.tensor([0.0, density[i] / 2])
        for W, b, formula in (
            (alone, bias, phases.ignoring_loss(density, importance)),
            (pair, torch.zeros(2), phases.antipodal_loss(density, importance)),
        ):
            sampled = superposition.weighted_loss(x[i], superposition.reconstruct(x[i], W, b), weights)
            assert sampled == pytest.approx(float(formula[i]), rel=0.02)
            on_grid = phases.expected_loss(
                W.expand(2, 1, 2, 1), b.expand(2, 1, 2), density, importance, n=40
            )  # fmt: skip
            assert on_grid[i, 0] == pytest.approx(float(formula[i]), rel=0.01)


def test_at_the_boundary_the_two_strategies_cost_the_same():
    importance = torch.tensor([0.2, 1.0, 4.0], dtype=torch.float64)
    density = phases.phase_boundary(importance)
    ignoring = phases.ignoring_loss(density, importance.clamp(max=1))
    torch.testing.assert_close(ignoring, phases.antipodal_loss(density, importance))


def test_the_grid_has_all_the_probability():
    weights = phases.grid_weights(torch.tensor([0.1, 1.0]), 5)
    assert weights.shape[1] == len(phases.grid(5))
    torch.testing.assert_close(weights.sum(1), torch.ones(2))


def test_training_two_features_is_no_worse_than_any_strategy():
    density, importance = torch.tensor([0.05, 0.05, 0.7]), torch.tensor([1.0, 0.1, 0.1])
    with torch.enable_grad():
        W, _, loss = phases.train_two(density, importance)
    pair, alone = phases.antipodal_loss(density, importance), phases.ignoring_loss(density, importance)
    assert (loss <= 1.001 * torch.minimum(pair, alone)).all()
    assert W[0].prod() < -0.5
    assert W[2, 1].abs() < 0.1


def test_the_welch_bound_is_reached_by_a_triangle_and_never_undercut():
    angle = 2 * math.pi * torch.arange(3) / 3
    triangle = torch.stack([angle.cos(), angle.sin()], 1)
    assert bridge.rms_cosine(triangle) == pytest.approx(bridge.welch_bound(3, 2), abs=1e-5)
    W = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    table = torch.nn.functional.normalize(W, dim=1) @ torch.nn.functional.normalize(W, dim=1).T
    slow = table[~torch.eye(30).bool()].square().mean().sqrt()
    assert bridge.rms_cosine(W) == pytest.approx(float(slow), abs=1e-5)
    assert slow > bridge.welch_bound(30, 4)
    assert bridge.welch_bound(4, 30) == 0


def test_random_directions_keep_the_lengths_and_nothing_else():
    W = torch.randn(20, 5, generator=torch.Generator().manual_seed(0)) + 3
    other = bridge.random_like(W, seed=1)
    torch.testing.assert_close(other.norm(dim=1), W.norm(dim=1))
    assert torch.cosine_similarity(W, other, dim=1).abs().mean() < 0.7


def test_the_share_of_near_tokens_by_sorting():
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(200, 6, generator=generator)
    right, said = torch.randint(200, (2, 50), generator=generator)
    right, said = right[right != said], said[right != said]
    near = []
    for a, b in zip(right.tolist(), said.tolist()):
        order = torch.cosine_similarity(W[a], W, dim=1).argsort(descending=True).tolist()
        order.remove(a)
        near.append(order.index(b) < 0.1 * 199)
    assert bridge.share_near(W, right, said, within=0.1) == pytest.approx(sum(near) / len(near))


def test_groups_are_chains_of_features_that_overlap():
    turn = 2 * math.pi / 5 * torch.arange(5)
    W = torch.zeros(8, 4)
    W[:5, :2] = torch.stack([turn.cos(), turn.sin()], 1)
    W[5, 2], W[6, 2], W[7, 3] = 1.0, -0.7, 2.0
    order = torch.tensor([5, 0, 7, 1, 2, 6, 3, 4])
    assert superposition.groups(W[order]) == [[0, 5], [1, 3, 4, 6, 7], [2]]


def test_a_shuffle_within_blocks_moves_every_token_to_one_of_similar_rank():
    values = torch.rand(50, generator=torch.Generator().manual_seed(0))
    order = bridge.shuffled_within(values, size=8, seed=1)
    assert sorted(order.tolist()) == list(range(50))
    rank = values.argsort().argsort()
    assert torch.equal(rank // 8, rank[order] // 8)
    assert not torch.equal(order, torch.arange(50))


def test_the_share_among_the_highest_scores_by_sorting():
    scores = torch.rand(40, 30, generator=torch.Generator().manual_seed(0))
    said = torch.randint(30, (40,), generator=torch.Generator().manual_seed(1))
    top = scores.argsort(1, descending=True)[:, :3]
    share = sum(int(token) in row for token, row in zip(said, top.tolist())) / 40
    assert bridge.share_among_top(scores, said, within=0.1) == pytest.approx(share)


def test_means_by_token():
    mean, times = bridge.mean_by_token(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([2, 2, 0]), 4)
    assert times.tolist() == [1, 0, 2, 0]
    assert mean[[0, 2]].tolist() == [5, 2]
    assert mean[[1, 3]].isnan().all()


def test_a_correlation_that_comes_from_a_third_thing_vanishes():
    generator = torch.Generator().manual_seed(0)
    z, e, f = torch.randn(3, 3000, generator=generator)
    assert abs(bridge.partial_rank_correlation(z + e, z + f, z)) < 0.06
    assert bridge.partial_rank_correlation(e, e + 0.1 * f, z) > 0.9


def test_errors_and_what_is_raised_are_as_a_loop_would_find_them():
    model = models.load("small-seed-1")
    right, said, losses = bridge.said_on_copies(model, length=5, batch=3)
    rows = bridge.behaviour.repeated_tokens(model.cfg.d_vocab, 5, times=2, batch=3)
    log_probs = model(rows).log_softmax(-1)
    expected = [(row, pos) for row in range(3) for pos in range(6, 10)]
    assert right.tolist() == [int(rows[row, pos + 1]) for row, pos in expected]
    assert said.tolist() == [int(log_probs[row, pos].argmax()) for row, pos in expected]
    surprises = [-float(log_probs[row, pos, rows[row, pos + 1]]) for row, pos in expected]
    assert losses.tolist() == pytest.approx(surprises, abs=1e-4)
    source, raised = bridge.raised_by_source(model, length=5, batch=3)
    assert (source != raised).all()
    assert all(int(token) in row[2:6].tolist() for token, row in zip(source, rows))


def test_the_shipped_run_is_of_the_size_it_says_and_keeps_its_budget():
    density, W = superposition.load_sparsity_run()
    assert W.shape == (len(density), 400, 30)
    assert (density.diff() < 0).all()
    D = superposition.dimensionality(W)
    assert ((D.sum(1) < 30.1) & (D.sum(1) > 29)).all()


def test_the_figures_show_what_they_are_given():
    dots = torch.rand(3, 5, generator=torch.Generator().manual_seed(0))
    ax = figures.superposition.sticky(
        torch.tensor([1.0, 2.0, 4.0]), dots, torch.ones(3, 5), dots.mean(1), {"pair": 0.5, "near it": 0.49}
    )
    shown = [y for line in ax.lines if line.get_marker() == "." for y in line.get_ydata()]
    assert sorted(shown) == pytest.approx(sorted(dots.flatten().tolist()))
    ax = figures.superposition.shares({"a": [0.1, 0.2], "b": [0.3, 0.4]}, ["x", "y"], chance=0.01, y="share")
    assert [bar.get_height() for bar in ax.patches] == [0.1, 0.2, 0.3, 0.4]
    panels = figures.superposition.cosine_histograms({"a": torch.zeros(4), "b": torch.ones(3)})
    assert [sum(bar.get_height() for bar in panel.patches) for panel in panels] == [4, 3]
    assert len(figures.superposition.overlaps(torch.rand(2, 4, 4), ["a", "b"])) == 2
    ax = figures.superposition.lines([1.0, 2.0], {"a": torch.tensor([3.0, 4.0])}, x="x", y="y")
    assert list(ax.lines[0].get_ydata()) == [3, 4]
    found = torch.tensor([[0, 2], [1, 2]])
    ax = figures.superposition.phases(
        found, torch.tensor([0.1, 1.0]), torch.tensor([0.5, 2.0]), torch.tensor([0.2, 0.3]),
        torch.tensor([0.5, 2.0]), ["a", "b", "c"],
    )  # fmt: skip
    assert ax.collections[0].get_array().flatten().tolist() == [0, 2, 1, 2]
    plt.close("all")


def test_the_drawing_has_an_arrow_for_each_feature():
    ax = figures.diagrams.directions({"two": [(1, 0), (0, 1)], "three": [(1, 0), (0, 1), (-1, 0)]})
    assert sum(patch.get_gid() == "feature" for patch in ax.patches) == 5
    plt.close("all")
    with pytest.raises(ValueError, match="panels"):
        figures.diagrams.directions({})
