"""The letter-reading network, and what is measured of it, by a second road."""

import itertools
import math

import matplotlib.pyplot as plt
import pytest
import torch

from walkthrough import circuits, figures, models
from walkthrough.beyond import kinds, offsets, tuning, vision

ANGLES = 2 * math.pi * torch.arange(24) / 24


@pytest.fixture(scope="module")
def net():
    return vision.load(0)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("height", "width", "size"), [(4, 5, 3), (6, 3, 5)])
def test_a_sum_over_offsets_is_torchs_convolution(height, width, size):
    kernel, picture = noise(2, 3, size, size), noise(3, height, width, seed=1)
    slid = torch.conv2d(picture[None], kernel, padding=size // 2)[0]
    patterns = offsets.offset_patterns(height, width, size)
    made = offsets.sum_over_offsets(picture.flatten(1).T, patterns, offsets.by_offset(kernel))
    torch.testing.assert_close(made, slid.flatten(1).T, rtol=1e-4, atol=1e-5)


def test_patterns_of_offsets_have_at_most_one_place_and_the_middle_is_the_identity():
    patterns = offsets.offset_patterns(3, 4, 3)
    assert set(patterns.sum(-1).flatten().tolist()) == {0, 1}
    torch.testing.assert_close(patterns[4], torch.eye(12))


@pytest.mark.parametrize("seed", vision.SEEDS)
def test_shipped_networks_read_letters_of_unseen_fonts_and_untrained_ones_do_not(seed):
    assert vision.accuracy(vision.load(seed), n=500) > 0.85
    assert vision.accuracy(vision.LetterReader(seed), n=500) < 0.15


def test_other_seeds_do_not_ship():
    with pytest.raises(ValueError, match="train it"):
        vision.load(7)


def test_a_few_steps_of_training_help():
    assert vision.accuracy(vision.train(5, steps=60, batch=32), n=500) > 0.1


def test_glyphs_are_letters_in_the_middle_of_a_square():
    for font, letter in itertools.product(vision.TRAINING + vision.HELD_OUT, "AQ"):
        drawn = vision.glyph(font, letter)
        assert drawn.shape == (vision.GLYPH, vision.GLYPH)
        assert drawn.max() > 0.9
        assert not drawn[0].any()
        assert not drawn[:, 0].any()


def test_the_same_generator_draws_the_same_pictures():
    glyphs = vision.alphabet(vision.HELD_OUT)
    (x, letter), (again, _) = (vision.pictures(glyphs, 8, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(x, again)
    assert x.shape == (8, 1, vision.SIZE, vision.SIZE)
    assert 0 <= letter.min() <= letter.max() < len(vision.LETTERS)


def test_selectivity_is_one_for_one_direction_and_zero_for_all():
    one, all_alike, both = torch.zeros(24), torch.ones(24), torch.zeros(24)
    one[5], both[3], both[15] = 2, 1, 1
    tuned = torch.stack([one, all_alike, both, torch.zeros(24)])
    torch.testing.assert_close(tuning.selectivity(tuned), torch.tensor([1.0, 0, 0, 0]), atol=1e-5, rtol=0)
    assert tuning.selectivity(tuned, period=2)[2] > 0.999
    assert tuning.preferred(one[None]).item() == pytest.approx(ANGLES[5].item(), abs=1e-5)


def test_degrees_go_the_short_way_round():
    apart = tuning.degrees_apart(torch.tensor([0.1, math.pi, 3.0]), torch.tensor([-0.1, 0.0, -3.0]))
    torch.testing.assert_close(apart, torch.tensor([11.459, 180.0, 16.225]), rtol=1e-3, atol=1e-3)


def test_ink_lies_in_the_direction_of_an_edge_and_the_filter_that_is_an_edge_points_there():
    crops = tuning.edges(ANGLES)[:, 0, 17:24, 17:24] - 0.5
    read = tuning.edge_direction(crops)
    assert tuning.degrees_apart(read, ANGLES).max() < 10
    assert tuning.edges(torch.tensor([math.pi / 2]))[0, 0, -1].mean() == 1


@pytest.mark.parametrize("radius", [4, 9, math.inf])
def test_arcs_are_as_long_as_each_other_and_bend_towards_their_angle(radius):
    drawn = tuning.arcs(ANGLES, radius)[:, 0]
    ink = drawn.sum((1, 2))
    assert (ink - 30).abs().max() < 4
    along = torch.arange(40) - 19.5
    middle = torch.stack([(drawn.sum(1) * along).sum(-1), (drawn.sum(2) * along).sum(-1)], -1) / ink[:, None]
    toward = middle[:, 0] * ANGLES.cos() + middle[:, 1] * ANGLES.sin()
    assert (toward > 0.1).all() if math.isfinite(radius) else (toward.abs() < 0.1).all()


def test_corners_open_towards_their_angle():
    drawn = tuning.corners(ANGLES)[:, 0]
    along = torch.arange(40) - 19.5
    x, y = (drawn.sum(1) * along).sum(-1), (drawn.sum(2) * along).sum(-1)
    assert tuning.degrees_apart(torch.atan2(y, x), ANGLES).max() < 15


def test_training_makes_bend_units_and_does_not_make_edges(net):
    raw = vision.LetterReader(0)
    assert len(tuning.bend_units(net, ANGLES)) > 2 * len(tuning.bend_units(raw, ANGLES)) + 3
    edges = [tuning.selectivity(tuning.responses(each, tuning.edges(ANGLES), 0)) for each in (net, raw)]
    assert (edges[1] > 0.3).sum() >= 4


def test_a_circle_fills_a_plane_is_read_exactly_and_runs_round_as_often_as_it_is_turned():
    circle = torch.stack([ANGLES.cos(), ANGLES.sin()], -1)
    vectors = circle @ noise(2, 9) + noise(9, seed=4)
    assert tuning.plane_share(vectors).item() == pytest.approx(1, abs=1e-5)
    assert tuning.reading_error(vectors.T, 1.3 * vectors.T, ANGLES) < 30
    assert tuning.reading_error(vectors.T, vectors.T, ANGLES) < 1
    twice = torch.stack([(2 * ANGLES).cos(), (2 * ANGLES).sin()], -1)
    assert [tuning.turns(path) for path in (circle, circle.flip(0), twice, circle + 5)] == [1, 1, 2, 0]


@pytest.mark.parametrize(("k", "size", "total"), [(3, 4, 9), (5, 2, 7), (4, 6, 8)])
def test_chance_is_what_counting_all_draws_gives(k, size, total):
    draws = list(itertools.combinations(range(total), k))
    for count in range(k + 1):
        slow = sum(sum(i < size for i in draw) >= count for draw in draws) / len(draws)
        assert kinds.chance_of(count, k, size, total) == pytest.approx(slow)


def test_units_of_noise_have_no_category_and_planted_ones_have_theirs():
    category = torch.arange(2000) % 20
    activation = noise(300, 2000)
    assert (kinds.n_categories(activation, category) > 0).double().mean() < 0.03
    planted = activation[:2].clone()
    planted[0, category == 3] += 3
    planted[1, (category == 5) | (category == 8)] += 3
    assert kinds.n_categories(planted, category).tolist() == [1, 2]


def test_tokens_are_sorted_by_kind_and_first_letter():
    texts = [" for", "\n    ", "12", "):", "ABC_D", " Path", " value", "ment", "3x"]
    assert kinds.token_kinds(texts).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert kinds.shapes("OAB").tolist() == [0, 1, 2]
    assert set(kinds.ROUND + kinds.STRAIGHT) <= set(vision.LETTERS)


def test_heads_say_as_much_as_their_row_of_the_whole_table_is_long():
    model, tokens = models.tiny(1), torch.arange(2, 20)
    said = kinds.said_by_heads(model, tokens)
    for head in range(model.cfg.n_heads):
        circuit = circuits.centred(circuits.ov_circuit(model, 0, head))
        table = (circuit.A @ circuit.B)[tokens]
        torch.testing.assert_close(said[head], table.norm(dim=-1), rtol=1e-3, atol=1e-5)


def test_groups_keep_their_proportions_and_none_is_empty():
    dealt = kinds.in_groups(torch.tensor([1, 900, 99, 1000]), 20, torch.Generator().manual_seed(0))
    assert dealt.bincount().tolist() == [1, 9, 1, 9]


def test_median_thresholds_leave_units_about_half_of_the_stimuli_and_the_net_as_it_was(net):
    bias, arcs = net.conv2.bias.clone(), tuning.arcs(ANGLES, 6)
    changed = tuning.with_median_thresholds(net, arcs)
    assert torch.equal(net.conv2.bias, bias)
    assert (tuning.responses(changed, arcs, 1) > 1e-6).sum(-1).float().mean().item() == pytest.approx(12, abs=2)


def test_swapped_weights_are_refused(tmp_path, monkeypatch):
    (tmp_path / "letters.safetensors").write_bytes(b"something else")
    monkeypatch.setattr(vision, "WEIGHTS", tmp_path)
    with pytest.raises(ValueError, match="SHA-256"):
        vision.load(0)


def test_the_command_writes_all_networks_under_the_names_that_load_reads(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(vision, "accuracy", lambda net: 0.5)
    vision.main([str(tmp_path), "--steps", "1"])
    monkeypatch.setattr(vision, "WEIGHTS", tmp_path)
    monkeypatch.setattr(vision, "SHA256", capsys.readouterr().out.split()[-1])
    assert {type(vision.load(seed)) for seed in vision.SEEDS} == {vision.LetterReader}


def test_figures_show_what_they_are_given():
    plt.switch_backend("agg")
    bank = figures.vision.filter_bank(noise(3, 5, 5), ["a", "b", "c"], angles=[0.0, None, 1.0])
    assert [len(ax.texts) for ax in bank] == [1, 0, 1]
    panels = {"unit 1": {"arc": torch.arange(24.0), "corner": torch.ones(24)}}
    (ax,) = figures.vision.tuning_curves(panels, y="answer")
    assert ax.lines[0].get_ydata().tolist() == list(range(24))
    assert len(figures.vision.pictures(noise(3, 4, 4), ["x", "y", "z"])) == 3
    assert len(figures.vision.offset_maps(noise(2, 5, 5), ["x", "y"], label="l")) == 2
    (ax,) = figures.vision.loops({"here": noise(24, 2)})
    assert ax.get_title() == "here"
    bars = figures.vision.verdicts(torch.tensor([[0.5, 0.25, 0.25]]), ["units"], [8])
    assert [text.get_text() for text in bars.texts] == ["8 units"]
    assert [round(patch.get_width(), 2) for patch in bars.patches] == [0.5, 0.25, 0.25]
    drawing = figures.diagrams.offsets_and_heads()
    kinds_drawn = [patch.get_gid() for patch in drawing.patches]
    assert (kinds_drawn.count("moves"), kinds_drawn.count("pixel"), kinds_drawn.count("token")) == (5, 6, 6)
    plt.close("all")
