"""The tables of training runs: what their rows say, that they are made as they say, and what is read from their curves."""

import math
from dataclasses import replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from test_live import TINY, sequences

from walkthrough import figures
from walkthrough.training import curves, histories, records
from walkthrough.training.live import LiveRun
from walkthrough.training.recipes import LIVE
from walkthrough.training.variants import PerHeadMuon


@pytest.fixture(scope="module")
def text():
    return sequences()


def test_the_table_holds_known_choices_and_each_run_once():
    rows = records.read()
    runs = [(row["choice"], row["value"], row["seed"]) for row in rows]
    assert len(runs) == len(set(runs))
    assert {run[:2] for run in runs} <= set(records.CHOICES)


def test_a_run_has_a_moment_just_where_it_reached_the_score():
    for row in records.read():
        assert (row["tokens"] is not None) == (row["prefix_matching"] >= records.REACHED), row
        assert (row["tokens"] is None) == (row["seconds"] is None)
        assert row["tokens"] in (None, row["tokens_used"])
        assert row["tokens_used"] <= records.BUDGET


@pytest.mark.parametrize("choice", records.CHOICES, ids=str)
def test_each_choice_changes_something_and_leaves_the_tokens(choice):
    overrides, prepare = records.CHOICES[choice]
    recipe = records.changed(overrides, seed=3)
    assert recipe.steps * recipe.batch * recipe.n_ctx == records.BUDGET
    assert recipe.seed == 3
    changed = replace(recipe, seed=LIVE.seed, steps=LIVE.steps)
    assert (changed != LIVE or prepare is not None) == (choice != ("as it is", ""))


def test_what_is_done_before_the_first_step_is_what_the_name_says(text):
    run = lambda: LiveRun(TINY, text)
    usual, changed = run(), run()
    records.amplitude(2.0)(changed)
    torch.testing.assert_close(changed.model.pos.weight, 2 * usual.model.pos.weight)
    records.embeddings(1 / 3)(changed)
    torch.testing.assert_close(changed.model.tok_embed.weight, usual.model.tok_embed.weight / 3)
    records.keys_like_queries(changed)
    assert torch.equal(changed.model.layers[1].attn.k.weight, usual.model.layers[1].attn.q.weight)
    records.per_head(changed)
    assert isinstance(changed.optimisers["muon"], PerHeadMuon)
    records.slow_frequencies(changed)
    for pos in (0, 3, 9):  # one by one: frequency i is 10,000^(-i / (pairs - 1)), its sine and cosine side by side
        for i in range(8):
            angle = pos * 10_000 ** (-i / 7)
            assert changed.model.pos.weight[pos, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert changed.model.pos.weight[pos, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


def test_the_given_head_looks_back_from_the_first_step_and_whatever_its_weights_are(text):
    run = LiveRun(TINY, text)
    histories.given(run)
    for _ in range(5):
        run.advance()
    patterns = run.patterns(run.twice[:, :-1])[1]
    assert patterns[0][:, 0].diagonal(-1, -2, -1).min() > 0.9
    histories.given(run, back=2)
    assert run.patterns(run.twice[:, :-1])[1][0][:, 0].diagonal(-2, -2, -1).min() > 0.9
    assert patterns[0][:, 1].diagonal(-1, -2, -1)[:, 1:].max() < 0.9
    assert run.model.layers[0].attn.q.weight.grad[:8].abs().max() == 0


def test_positions_can_be_weaker_in_layer_1_alone(text):
    run = LiveRun(TINY, text)
    histories.weaker_in_layer_1(0.25)(run)
    none = torch.zeros(1, 5, 16)
    first, second = (block.attn.placed(none, slice(0, 5)) for block in run.model.layers)
    torch.testing.assert_close(second, first / 4)


def test_a_constant_learning_rate_stays_after_a_warm_up_of_equal_tokens():
    for batch in (1, 16):
        recipe = histories.constant(batch, n_ctx=64)
        assert recipe.n_ctx == 64
        assert recipe.warmup * batch * 64 == 102_400
        assert recipe.steps * batch * 64 == histories.LIMIT
        assert recipe.lr_factor(0) == 1 / recipe.warmup
        assert recipe.lr_factor(recipe.warmup) == recipe.lr_factor(recipe.steps - 1) == 1


def test_a_history_is_followed_to_its_end_and_to_a_score(text, monkeypatch):
    monkeypatch.setattr(histories, "HEADS", tuple((layer, head) for layer in range(2) for head in range(2)))
    monkeypatch.setattr(histories, "EVERY", 5 * 64)
    rows = list(histories.follow("x", LiveRun(TINY, text), 20 * 64, stop=math.inf))
    assert [row["tokens"] for row in rows] == [0, 320, 640, 960, 1280]
    assert len(list(histories.follow("x", LiveRun(TINY, text), 20 * 64, stop=0.0))) == 2


def test_histories_are_told_apart_and_the_best_head_is_one_that_works():
    heads = dict.fromkeys(histories.FIELDS[6:], 0.0)
    row = {
        "history": "a",
        "seed": 1.0,
        "tokens": 5.0,
        "silent": "0:1",
        **heads,
        "previous_0:1": 0.9,
        "previous_0:2": 0.4,
    }
    other = row | {"history": "b", "silent": "", "tokens": 7.0}
    assert histories.by_seed([row, other], "a") == {1: [row]}
    assert histories.best([row, other], "previous", 0) == ([5.0, 7.0], [0.4, 0.9])
    assert histories.leading(row, "previous") == (0, 1)
    with pytest.raises(ValueError, match="there is no history 'c'"):
        histories.by_seed([row], "c")


def test_the_table_of_histories_holds_what_is_planned():
    named = {row["history"] for row in histories.read()}
    ablated = {
        f"{kind} ablated {when}"
        for kind in ("previous-token head", "induction head", "other head of layer 0")
        for when in ("early", "late")
    }
    assert named == {"as it is", "followed", *ablated, *histories.TRIALS}
    for name, seed, _ in histories.planned():
        tokens = [row["tokens"] for row in histories.by_seed(histories.read(), name)[seed]]
        assert tokens == sorted(set(tokens)), (name, seed)


def test_a_curve_arrives_where_interpolation_says_and_a_law_is_that_of_least_squares():
    generator = np.random.default_rng(0)
    tokens, scores = np.cumsum(generator.uniform(1, 9, 40)), np.sort(generator.uniform(0, 1, 40))
    for level in (0.2, 0.5, 0.77):
        found = curves.first_reached(tokens.tolist(), scores.tolist(), level)
        assert found == pytest.approx(np.interp(level, scores, tokens))
    assert curves.first_reached([1.0, 2.0], [0.1, 0.2], 0.3) == math.inf
    assert curves.first_reached([1.0, 2.0], [0.5, 0.2], 0.3) == 1.0
    sizes, moments = torch.rand(9) + 1, torch.rand(9) + 1
    b, a = np.polyfit(sizes.log10().numpy(), moments.log10().numpy(), 1)
    assert curves.power_law(sizes, moments) == pytest.approx((a, b), abs=1e-4)


def test_a_row_has_a_dot_for_each_run_that_arrived_and_a_cross_for_each_that_did_not():
    runs = {"both": [1e6, 1.2e6], "one": [0.9e6, math.inf, math.inf], "none": [math.inf]}
    ax = figures.records.moments(runs, never=2e6, x="tokens", reference=(1e6, 1.2e6))
    dots, crosses = ([line for line in ax.lines if line.get_marker() == marker] for marker in "ox")
    assert [len(line.get_xdata()) for line in dots] == [2, 1, 0]
    assert [len(set(line.get_xdata())) for line in crosses] == [0, 2, 1]
    assert min(x for line in crosses for x in line.get_xdata()) == 2e6
    assert [label.get_text() for label in ax.get_yticklabels()] == list(runs)
    plt.close("all")


def test_runs_of_one_group_share_a_colour_and_one_name():
    groups = {"a": [([0.0, 1.0], [0.0, 1.0]), ([0.0, 1.0], [1.0, 0.0])], "b": [([0.0, 1.0], [1.0, 1.0])]}
    ax = figures.records.by_seed(groups, y="score")
    first, second, third = ax.lines
    assert first.get_color() == second.get_color() != third.get_color()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    plt.close("all")


def test_a_law_is_drawn_between_logarithms():
    sizes, tokens = torch.tensor([1.0, 1.0, 2.0]), torch.tensor([3.0, 4.0, 5.0])
    ax = figures.records.law(sizes, tokens, {"line": (sizes[1:], tokens[1:])}, x="size", y="tokens")
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2"]
    plt.close("all")


def test_a_context_of_64_can_have_the_positions_of_128():
    positions = torch.nn.Embedding(64, 64)
    run = object.__new__(LiveRun)
    run.model, run.recipe = SimpleNamespace(pos=positions), histories.SHORT
    histories.places_of_128(run)
    for pos in (0, 3, 63):  # frequency i of 32 is pi 128^(-i / 31)
        for i in range(32):
            angle = pos * math.pi * 128 ** (-i / 31)
            assert positions.weight[pos, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-4)
            assert positions.weight[pos, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-4)
