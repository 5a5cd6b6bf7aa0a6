"""Copying statistics against tables written out whole, in float64."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import pytest
import torch
from torch import Tensor

from walkthrough import figures, models
from walkthrough.circuits import (
    centred,
    eigenvalue_positivity,
    ov_circuit,
    own_logit,
    own_logit_rank,
    shuffled_positivity,
    surprise,
)


@dataclass
class Factors:
    A: Tensor
    B: Tensor


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(params=[(20, 3, 0), (31, 6, 1)])
def circuit(request):
    n, d_head, seed = request.param
    return Factors(noise(n, d_head, seed=seed), noise(d_head, n, seed=seed + 10))


def positivity_of_whole(table):
    values = torch.linalg.eigvals(table)
    return values.real.sum() / values.abs().sum()


def test_positivity_is_that_of_the_whole_table(circuit):
    torch.testing.assert_close(eigenvalue_positivity(circuit), positivity_of_whole(circuit.A @ circuit.B))


@pytest.mark.parametrize("head", [0, 2])
def test_positivity_of_a_model_head_is_that_of_its_four_matrices(head):
    model = models.tiny(1).double()
    whole = model.W_E @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
    torch.testing.assert_close(eigenvalue_positivity(ov_circuit(model, 0, head)), positivity_of_whole(whole))


@pytest.mark.parametrize(("sign", "positivity"), [(1, 1.0), (-1, -1.0)])
def test_a_head_that_writes_what_it_reads_is_at_the_end_of_the_scale(sign, positivity):
    A = noise(20, 4)
    assert eigenvalue_positivity(Factors(A, sign * A.T)).item() == pytest.approx(positivity)


def test_noise_has_positivity_zero_and_a_known_spread():
    drawn = [eigenvalue_positivity(Factors(noise(300, 16, seed=s), noise(16, 300, seed=s + 500))) for s in range(200)]
    drawn = torch.stack(drawn)
    assert abs(drawn.mean().item()) < 4 * drawn.std().item() / 200**0.5
    assert 1.2 / 16 < drawn.std().item() < 1.8 / 16


def test_a_circuit_that_is_not_square_is_refused():
    with pytest.raises(ValueError, match="square circuit, not 5 by 7"):
        eigenvalue_positivity(Factors(noise(5, 2), noise(2, 7)))


def test_own_logits_are_the_diagonal_and_their_sum_that_of_the_eigenvalues(circuit):
    torch.testing.assert_close(own_logit(circuit), (circuit.A @ circuit.B).diagonal())
    eigenvalues = torch.linalg.eigvals(circuit.A @ circuit.B)
    torch.testing.assert_close(own_logit(circuit).sum(), eigenvalues.sum().real)


@pytest.mark.parametrize("block", [1, 7, 512])
def test_rank_counts_the_outs_that_are_raised_more(circuit, block):
    table = circuit.A @ circuit.B
    slow = [sum(table[i, j] > table[i, i] for j in range(len(table))).item() for i in range(len(table))]
    assert own_logit_rank(circuit, block).tolist() == slow


def test_centring_leaves_probabilities_and_takes_away_the_mean(circuit):
    before, after = circuit.A @ circuit.B, centred(circuit).A @ centred(circuit).B
    torch.testing.assert_close(after.softmax(-1), before.softmax(-1))
    torch.testing.assert_close(after.mean(-1), torch.zeros(len(after), dtype=torch.float64))


def test_centring_undoes_a_constant_that_would_hide_copying():
    A = noise(40, 5)
    copying = Factors(A, A.T)
    hidden = Factors(A, A.T - 30 * A.mean(0)[:, None])  # every row has a constant added to all of its outs
    assert eigenvalue_positivity(hidden) < 0.5 < 0.99 < eigenvalue_positivity(centred(hidden))
    torch.testing.assert_close(eigenvalue_positivity(centred(hidden)), eigenvalue_positivity(centred(copying)))


def test_shuffles_permute_the_columns(circuit):
    table = circuit.A @ circuit.B
    orders = torch.stack([torch.randperm(len(table), generator=torch.Generator().manual_seed(s)) for s in range(3)])
    slow = torch.stack([positivity_of_whole(table[:, order]) for order in orders])
    torch.testing.assert_close(shuffled_positivity(circuit, orders), slow)


def test_most_heads_of_the_shipped_model_copy_beyond_their_shuffles(one_layer):
    orders = torch.stack([torch.randperm(4096, generator=torch.Generator().manual_seed(s)) for s in range(10)])
    copying = 0
    for head in range(one_layer.cfg.n_heads):
        ov = centred(ov_circuit(one_layer, 0, head))
        null = shuffled_positivity(ov, orders)
        assert null.mean().abs() < 0.1
        copying += (eigenvalue_positivity(ov) > null.mean() + 3 * null.std()).item()
    assert copying >= 4


def test_eigenvalues_are_drawn_where_they_are_and_coloured_by_the_sign_of_their_real_part():
    plt.switch_backend("agg")
    values = torch.tensor([1 + 2j, -3 + 0j])
    (ax,) = figures.circuits.eigenvalues({"a head": values})
    dots = ax.collections[0]
    assert dots.get_offsets().tolist() == [[1, 2], [-3, 0]]
    assert not (dots.get_facecolors()[0] == dots.get_facecolors()[1]).all()
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == (
        "a head", "real part (logits)", "imaginary part (logits)",
    )  # fmt: skip
    plt.close("all")


def test_arrows_lead_from_open_dots_to_full_ones():
    plt.switch_backend("agg")
    before, after = torch.tensor([[0.1, 0.2], [0.01, 0.02]]), torch.tensor([[0.3, 0.4], [0.03, 0.04]])
    ax = figures.circuits.before_and_after(
        before, after, ["one row", "another"], ("right", "wrong"), x="probability", hollow="at first"
    )
    open_dots, full_dots, named = ax.collections[2:]
    assert len(named.get_facecolors()) == len(named.get_offsets()) == 0
    assert [label.get_text() for label in ax.get_legend().get_texts()] == ["right", "wrong", "at first"]
    assert len(open_dots.get_facecolors()) == 0
    assert open_dots.get_offsets()[:, 0].tolist() == pytest.approx([0.01, 0.02])
    assert full_dots.get_offsets()[:, 0].tolist() == pytest.approx([0.03, 0.04])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["one·row", "another"]
    assert (ax.get_xscale(), ax.get_xlabel()) == ("log", "probability")
    plt.close("all")


def test_the_far_eigenvalue_is_left_out_and_pointed_at():
    plt.switch_backend("agg")
    values = torch.tensor([1 + 2j, 1 - 2j, 3 + 0j, -70 + 0j])
    (ax,) = figures.circuits.eigenvalues({"a head": values})
    assert ax.get_xlim() == ax.get_ylim() == pytest.approx((-3.45, 3.45))
    (note,) = ax.texts
    assert note.get_text() == "one more at\n−70"
    assert note.xy == pytest.approx((-3.45, 0))
    near = figures.circuits.eigenvalues({"a head": torch.tensor([1 + 2j, 1 - 2j, 6 + 0j])})[0]
    assert not near.texts
    plt.close("all")


def test_a_score_is_drawn_beside_its_kinds_of_chance():
    plt.switch_backend("agg")
    nulls = {"one": torch.tensor([[0.0, 0.2], [0.1, 0.3]]), "other": torch.tensor([[0.4, 0.4], [0.5, 0.5]])}
    ax = figures.copying.against_chance(torch.tensor([0.9, -0.2]), nulls, ["0:0", "0:1"], y="score")
    assert ax.collections[-1].get_offsets().tolist() == [[0, pytest.approx(0.9)], [1, pytest.approx(-0.2)]]
    assert [line.get_ydata().tolist() for line in ax.lines[:1]] == [[pytest.approx(0.1), pytest.approx(0.2)]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one", "other"]
    plt.close("all")


def test_lines_over_bins_stand_where_their_means_are():
    plt.switch_backend("agg")
    panels = {
        "0:1": {"it": [(1.0, 0.1), (2.0, 0.2)], "control": [(0.0, 0.1), (0.5, 0.1)]},
        "0:2": {"it": [(3.0, 0.1)] * 2},
    }
    axes = figures.copying.by_prediction(panels, ["low", "high"], x="probability", y="logits")
    assert [ax.get_title() for ax in axes] == ["0:1", "0:2"]
    assert axes[0].lines[0].get_ydata().tolist() == [1.0, 2.0]
    assert [label.get_text() for label in axes[0].get_xticklabels()] == ["low", "high"]
    assert [text.get_text() for text in axes[0].figure.legends[0].get_texts()] == ["it", "control"]
    plt.close("all")


def test_mixtures_are_drawn_before_and_after():
    plt.switch_backend("agg")
    toys = {"longer": (((3, 1), (1, 3)), [(1, 1), (1, -1)]), "turned": (((1, 3), (-3, 1)), [(1, 0)])}
    ax = figures.diagrams.mixtures(toys, ("a", "b"))
    assert [text.get_text() for text in ax.texts if "×" in text.get_text()] == ["× 4", "× 2"]
    assert sum(patch.get_gid() == "before" for patch in ax.patches) == 3
    assert sum(patch.get_gid() == "after" for patch in ax.patches) == 3
    (back,) = figures.diagrams.mixtures({"x": (((1, 3), (3, 1)), [(1, -1)])}, ("a", "b")).texts[-1:]
    assert back.get_text() == "× −2"
    plt.close("all")


def test_surprise_is_the_distance_from_shuffles_of_the_table_written_out(circuit):
    shifted = Factors(circuit.A, circuit.B + 3 * noise(len(circuit.B), 1))
    orders = torch.stack([torch.randperm(len(circuit.A), generator=torch.Generator().manual_seed(s)) for s in range(5)])
    table = shifted.A @ shifted.B
    table = table - table.mean(1, keepdim=True)
    null = torch.stack([positivity_of_whole(table[:, order]) for order in orders])
    torch.testing.assert_close(surprise(shifted, orders), (positivity_of_whole(table) - null.mean()) / null.std())


def test_centring_rows_or_columns_leaves_the_same_eigenvalues(circuit):
    """A projection may walk round the product, so that the check cannot tell these two, and need not."""
    table = circuit.A @ circuit.B
    torch.testing.assert_close(
        positivity_of_whole(table - table.mean(1, keepdim=True)), positivity_of_whole(table - table.mean(0))
    )


def test_each_line_has_its_own_token_and_groups_their_own_marks():
    plt.switch_backend("agg")
    start, end = torch.tensor([[0.1, 0.2], [0.01, 0.02]]), torch.tensor([[0.3, 0.1], [0.03, 0.04]])
    texts = (["a b", "c"], ["d", "e"])
    ax = figures.circuits.before_and_after(start, end, ["x", "y"], ("r", "w"), x="p", texts=texts)
    assert [text.get_text() for text in ax.texts] == ["a·b", "c", "d", "e"]
    assert [round(text.xy[0], 2) for text in ax.texts] == [0.3, 0.2, 0.03, 0.04]
    points = {
        "up": (torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])),
        "down": (torch.tensor([-1.0]), torch.zeros(1)),
    }
    ax = figures.circuits.against(points, x="weights", y="runs")
    assert [dots.get_offsets().tolist() for dots in ax.collections] == [[[1, 3], [2, 4]], [[-1, 0]]]
    assert [label.get_text() for label in ax.get_legend().get_texts()] == ["up", "down"]
    plt.close("all")
