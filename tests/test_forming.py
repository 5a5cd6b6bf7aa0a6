"""The recorded run: what ships, what is refused, how its checkpoints were chosen, and its numbers by a second road."""

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest
import torch

from walkthrough import corpus, models
from walkthrough.training import series
from walkthrough.training.live import Text
from walkthrough.training.recipes import LIVE
from walkthrough.two_layers import forming, in_context, timing


@pytest.fixture(scope="module")
def card():
    return forming.read_card()


@pytest.fixture
def copied(tmp_path):
    """A copy of the series, to be damaged."""
    forming.checkpoints.cache_clear()
    return shutil.copytree(forming.FOLDER, tmp_path / "forming")


def test_the_series_is_small_and_of_the_live_recipe(card):
    assert sum(file.stat().st_size for file in forming.FOLDER.iterdir()) <= 6_000_000
    assert card["recipe"] == dataclasses.asdict(LIVE)
    assert card["tokens"] == forming.tokens_at(LIVE.steps)
    assert [len(card["steps"][name]) for name in forming.NAMES] == [24, 5]
    assert card["seeds"] == list(forming.SEEDS)
    assert "forming" not in {file.stem for file in models.WEIGHTS.glob("*.json")}


@pytest.mark.parametrize("name", forming.NAMES)
def test_checkpoints_are_those_of_the_card_from_untrained_to_the_end(name, card):
    made = forming.checkpoints(name)
    assert list(made) == card["steps"][name] == sorted(set(card["steps"][name]))
    assert (min(made), max(made)) == (0, LIVE.steps)
    assert made[0].cfg.n_layers == (2 if name == "two-layer" else 1)
    first = models.PaperModel(models.config(**card["config"][name]), LIVE.seed)
    torch.testing.assert_close(made[0].W_E, first.tok_embed.weight, atol=1e-3, rtol=1e-3)


def test_steps_were_chosen_by_the_rules_that_the_command_states(card):
    curves, (two, one) = forming.curves(0), card["steps"].values()
    looks = series.whom_to_keep(curves, len(two))
    chosen = curves["step"][looks].int().tolist()
    assert sum(abs(a - b) <= card["every"] for a, b in zip(chosen, two)) >= 22  # curves ship with three digits
    kept = [curves["step"].int().tolist().index(step) for step in two]
    assert curves["step"][series.around(curves, kept)].int().tolist() == one
    best = curves["prefix_matching"].flatten(1).max(1).values
    way = dict(zip(curves["step"].int().tolist(), (best / best[-1]).tolist()))
    before, half, after = one[1:4]
    assert way[before] < 0.1 < way[two[two.index(before) + 1]]
    assert way[two[two.index(half) - 1]] < 0.5 < way[half]
    assert way[two[two.index(after) - 1]] < 0.9 < way[after]


@pytest.mark.parametrize("count", [2, 5, 12])
def test_spread_takes_the_ends_and_is_dense_where_much_changes(count):
    time = torch.arange(100.0)
    curves = torch.stack([time / 99, torch.sigmoid((time - 60) / 2)], 1)
    chosen = series.spread(curves, count)
    assert (chosen[0], chosen[-1], len(set(chosen))) == (0, 99, count)
    assert chosen == sorted(chosen)
    if count == 12:
        assert sum(50 <= look <= 70 for look in chosen) >= 5


def test_spread_never_takes_a_time_twice_even_if_all_changes_at_once():
    step = torch.cat([torch.zeros(9, 1), torch.ones(3, 1)])
    assert series.spread(step, 8) == sorted(set(series.spread(step, 8)))
    assert len(series.spread(step, 8)) == 8
    assert series.spread(step, 12) == list(range(12))


def test_curves_are_what_is_measured_of_the_checkpoints(card):
    step = card["steps"]["two-layer"][14]
    found, curves = forming.measured(forming.load(step), forming.held_out()[::4]), forming.curves(0)
    at = curves["step"].tolist().index(step)
    for key, value in found.items():
        torch.testing.assert_close(
            curves[key][at], value.float(), atol=0.01, rtol=0.01, msg=lambda text, k=key: k + text
        )


def test_scores_of_the_last_checkpoint_by_a_second_road():
    model, rows = forming.load(LIVE.steps), forming.held_out()[:4]
    found = forming.measured(model, rows)
    loss = torch.nn.functional.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten(), reduction="none")
    again = in_context.completes_pair(rows).flatten()
    torch.testing.assert_close(found["text_loss"], loss.mean())
    torch.testing.assert_close(found["again_loss"], loss[again].mean())
    torch.testing.assert_close(found["new_loss"], loss[~again].mean())
    stretch = lambda low, high: loss.view(4, -1)[:, low:high].mean()
    torch.testing.assert_close(found["late_minus_early"], stretch(100, 128) - stretch(15, 30))
    table = model.W_E @ model.W_V[1, 2] @ model.W_O[1, 2] @ model.W_U
    table = table - table.mean(1, keepdim=True)
    torch.testing.assert_close(found["own_logit"][1, 2], table.trace() / 512, atol=1e-3, rtol=1e-3)
    eigenvalues = torch.linalg.eigvals(table.double())
    assert found["copying"][1, 2].item() == pytest.approx(
        (eigenvalues.sum().real / eigenvalues.abs().sum()).item(), abs=1e-3
    )
    keys = model.W_E @ model.W_V[0, 0] @ model.W_O[0, 0] @ model.W_K[1, 2] @ model.W_Q[1, 2].T @ model.W_E.T / 4
    assert found["K_gain"][0, 2].item() == pytest.approx((keys.diagonal().mean() - keys.mean()).item(), abs=1e-3)


def test_the_head_forms_in_two_layers_from_every_seed_and_not_in_one(card):
    for seed in forming.SEEDS:
        curves = forming.curves(seed)
        assert curves["prefix_matching"][-1].max() > 0.4  # the line of notebook 11
        assert curves["previous_token"][-1, 0].max() > 0.9
        assert curves["prefix_matching"][0].max() < 0.05
    assert forming.curves(0, "one-layer")["prefix_matching"].max() < 0.1
    assert card["measured"]["two-layer, seed 0"]["text_loss"] < card["measured"]["one-layer, seed 0"]["text_loss"]


def test_an_untrained_model_knows_nothing():
    assert forming.curves(0)["text_loss"][0].item() == pytest.approx(math.log(512), abs=0.02)


def test_rows_are_text_that_starts_with_bos():
    rows = forming.held_out()
    assert rows.shape == (256, 129)
    assert (rows[:, 0] == 0).all()
    assert (rows[:, 1:] > 0).all()
    text = forming.load(0).to_string(rows[:, 1:].flatten())
    assert "def " in text
    assert "email" in text


def test_unknown_steps_runs_and_seeds_get_one_sentence():
    with pytest.raises(ValueError, match="no checkpoint was kept after step 7: those of two-layer are 0, "):
        forming.load(7)
    with pytest.raises(ValueError, match="no run called 'three-layer': its runs are 'two-layer' and 'one-layer'"):
        forming.checkpoints("three-layer")
    with pytest.raises(ValueError, match=r"no curves of two-layer\.9: it has those of one-layer\.0, two-layer\.0"):
        forming.curves(9)


def test_a_damaged_or_missing_file_gets_one_sentence(copied):
    file = copied / "two-layer.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"two-layer\.safetensors of the series is not the one that its card describes"
    ):
        forming.load(0, folder=copied)
    file.unlink()
    with pytest.raises(ValueError, match=r"two-layer\.safetensors of the series is missing"):
        forming.load(0, folder=copied)
    assert forming.held_out(copied).shape == (256, 129)
    (copied / "card.json").unlink()
    with pytest.raises(ValueError, match="the card of the series is missing"):
        forming.held_out(copied)


@pytest.fixture
def little(monkeypatch):
    """A recipe of eight steps, on random text."""
    rng = np.random.default_rng(0)
    rows = rng.integers(1, 300, (40, 17)).astype(np.int16)
    tokenizer = corpus.learn_tokenizer(["for i in range(3):\n    print(i)\n"] * 9, 300)
    monkeypatch.setattr(series, "read_text", lambda recipe: Text(tokenizer, rows, torch.from_numpy(rows).long()))
    monkeypatch.setattr(series, "EVERY", 1)
    monkeypatch.setattr(series.corpus, "held_out", lambda *_: torch.from_numpy(rows))
    monkeypatch.setattr(series, "measured", lambda model, rows: forming.measured(model, rows) | {})
    monkeypatch.setattr(forming, "LENGTH", 7)
    monkeypatch.setattr(forming, "EARLY", (2, 6))
    monkeypatch.setattr(forming, "LATE", (9, 14))
    return dataclasses.replace(LIVE, n_ctx=16, d_vocab=300, d_model=16, n_heads=2, steps=8, batch=2, warmup=2)


def test_the_command_writes_what_the_loader_reads_goes_on_where_it_stopped_and_overwrites_nothing(tmp_path, little):
    series.write(tmp_path / "a", little)
    card = json.loads((tmp_path / "a" / "card.json").read_text(encoding="utf-8"))
    assert card["steps"]["one-layer"] == sorted(set(card["steps"]["one-layer"]))
    assert 2 <= len(forming.checkpoints("one-layer", tmp_path / "a")) <= 5
    assert len(forming.curves(2, folder=tmp_path / "a")["text_loss"]) == 9
    assert not list((tmp_path / "a").glob("run-*"))
    with pytest.raises(FileExistsError, match="there is a series"):
        series.write(tmp_path / "a", little)
    text = series.read_text(little)
    (tmp_path / "b").mkdir()
    series.run_of("two-layer", 0, little, text, torch.from_numpy(text.rows), tmp_path / "b")
    series.write(tmp_path / "b", little)
    again = json.loads((tmp_path / "b" / "card.json").read_text(encoding="utf-8"))
    assert again["sha256"] == card["sha256"]


def test_a_stopped_run_of_another_recipe_is_not_gone_on_with(tmp_path, little):
    text = series.read_text(little)
    series.run_of("two-layer", 0, little, text, torch.from_numpy(text.rows), tmp_path)
    with pytest.raises(ValueError, match="another recipe or text"):
        series.write(tmp_path, dataclasses.replace(little, steps=9))


def test_no_token_on_both_sides_is_refused():
    kind = torch.tensor([[True, False]])
    with pytest.raises(ValueError, match="no token came both"):
        timing.matched_difference(torch.ones(1, 2), kind, torch.tensor([[1, 2]]))


def test_a_curve_that_ends_behind_never_comes():
    assert timing.arrival(torch.arange(21.0), torch.cat([torch.zeros(10), torch.ones(10), torch.zeros(1)])) == math.inf
