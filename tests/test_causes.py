"""What is measured of causes, by a second road: against whole models, and against loops."""

import json
import shutil

import numpy as np
import pytest
import torch

from walkthrough import behaviour, interventions, models, paths
from walkthrough.training import causes as causes_command
from walkthrough.training import causes_table, live
from walkthrough.training.cause_networks import ALL_NETWORKS
from walkthrough.training.live import LENGTH, PROMPTS
from walkthrough.two_layers import cause_runs, causes, handmade


@pytest.fixture(scope="module")
def model():
    return models.tiny(2, seed=3)


@pytest.fixture(scope="module")
def tokens():
    return behaviour.repeated_tokens(64, 10, 2, 3, seed=2)


def test_the_stream_without_a_head_is_that_of_a_run_with_frozen_patterns(model, tokens):
    cache = model.run_with_cache(tokens)[1]
    patterns = [cache["pattern", layer] for layer in range(2)]
    silent = [(0, 1), (1, 2)]
    with model.hooks(fwd_hooks=paths.freeze(patterns) + interventions.ablate(model, silent)):
        logits = model(tokens)
    stream = causes.stream_without(cache["hook_embed"], torch.stack(patterns), model.W_V, model.W_O, silent)
    torch.testing.assert_close(stream @ model.W_U, logits)
    whole = causes.stream_without(cache["hook_embed"], torch.stack(patterns), model.W_V, model.W_O, [])
    torch.testing.assert_close(whole @ model.W_U, model(tokens))


def test_the_terms_of_a_score_add_up_to_the_scores_of_a_run(model, tokens):
    """The pattern made of them is the model's; and they are those of `attention_score_terms`, added up."""
    cache = model.run_with_cache(tokens)[1]
    here = model.W_pos[: tokens.shape[1]]
    parts = causes.read_parts(
        model.W_E[tokens], torch.zeros_like(here), here, cache["pattern", 0], model.W_V[0], model.W_O[0]
    )
    slow = paths.attention_score_terms(model, tokens, 1, 2)
    terms = causes.score_parts(parts, model.W_Q[1, 2], model.W_K[1, 2])
    total = terms.sum((0, 1))
    torch.testing.assert_close(causes.attention_without(total, 0 * total), cache["pattern", 1][:, 2])
    torch.testing.assert_close(causes.head_terms(model, tokens, 2), terms)
    torch.testing.assert_close(terms[0, 2], slow["tokens", "positions"])
    torch.testing.assert_close(terms[0, 1], sum(slow["tokens", f"0:{head}"] for head in range(4)))
    torch.testing.assert_close(terms[3], torch.zeros_like(terms[3]))


def test_positions_in_the_stream_are_moved_by_heads(model, tokens):
    pattern = model.run_with_cache(tokens)[1]["pattern", 0]
    here = model.W_pos[: tokens.shape[1]]
    parts = causes.read_parts(model.W_E[tokens], here, torch.zeros_like(here), pattern, model.W_V[0], model.W_O[0])
    stream = model.W_E[tokens] + here
    layer = [paths.layer_output(p, x, model.W_V[0], model.W_O[0]) for p, x in zip(pattern, stream)]
    torch.testing.assert_close(parts.sum(0), stream + torch.stack(layer))


def test_all_that_the_hand_made_pointer_reads_is_one_term():
    """Positions through heads in the query, positions in the key; with them it matches, and without it does not."""
    terms = handmade.pointer_terms(40, 15, 4)
    whole = terms.sum((0, 1))
    torch.testing.assert_close(terms[3, 2], whole)
    for left_out, least, most in ((0 * whole, 0.99, 1), (terms[3, 2], 0, 0.1)):
        pattern = causes.attention_without(whole, left_out)[:, None]
        assert least < behaviour.prefix_matching_score(pattern, 15).item() <= most + 1e-6


def test_control_sets_are_as_large_as_the_chosen_and_hold_none_of_them():
    sets = causes.control_sets(2, 4, [(1, 1), (1, 3)])
    assert len(sets) == len(set(map(frozenset, sets))) == 6
    assert all(len(set(each)) == 2 and not {(1, 1), (1, 3)} & set(each) for each in sets)
    assert sets == causes.control_sets(2, 4, [(1, 1), (1, 3)])
    assert len(causes.control_sets(1, 4, [(0, 0)])) == 3


def test_the_control_sets_of_the_table_are_those_that_are_drawn():
    """Sets of one head cost what the table says of this head alone."""
    run = cause_runs.table()["two layers"]["0"]
    drawn = causes.control_sets(2, 4, [tuple(head) for head in run["induction_heads"]])
    for alone, sets in zip(run["missed"], run["missed_controls"]):
        assert [alone[layer][head] for ((layer, head),) in drawn] == sets


def test_at_the_follower_s_own_distance_both_columns_are_the_prefix_matching_score(model, tokens):
    pattern = model.run_with_cache(tokens)[1]["pattern", 1]
    both = causes.follower_and_fixed(pattern, 10, 9)
    torch.testing.assert_close(both[:, 0], behaviour.prefix_matching_score(pattern, 10))
    torch.testing.assert_close(both[:, 0], both[:, 1])


def test_smeared_keys_keep_what_they_keep():
    keys = torch.randn(2, 3, 5, 4)
    torch.testing.assert_close(causes.smear(keys, torch.full((3,), 30.0)), keys)
    torch.testing.assert_close(causes.smear(keys, torch.full((3,), -30.0))[:, :, 1:], keys[:, :, :-1])


@pytest.mark.parametrize("name", ["one layer, smeared keys", "fixed copies", "two layers"])
def test_the_shipped_models_are_those_of_the_table(name):
    model, run = cause_runs.load(name), cause_runs.table()[name]["0"]
    twice = behaviour.repeated_tokens(model.cfg.d_vocab, LENGTH, 2, PROMPTS, seed=1)
    logits, cache = model.run_with_cache(twice[:, :-1])
    loss = behaviour.loss_per_position(logits, twice)[:, LENGTH:].mean()
    scores = [behaviour.prefix_matching_score(cache["pattern", layer], LENGTH) for layer in range(model.cfg.n_layers)]
    torch.testing.assert_close(torch.stack(scores), torch.tensor(run["prefix_matching"][-1]), atol=2e-3, rtol=0)
    torch.testing.assert_close(loss.item(), run["second_copy_loss"][-1], atol=0.02, rtol=0)


def test_every_run_of_the_table_has_three_seeds_measured_at_the_same_times():
    table = cause_runs.table()
    assert list(table) == list(causes_command.RUNS)
    for name, runs in table.items():
        assert list(runs) == ["0", "1", "2"]
        tokens = cause_runs.over_time(runs, "tokens")
        assert (tokens == tokens[0]).all()
        assert cause_runs.best_head(runs, "prefix_matching").shape == tokens.shape
        assert tokens[0, -1] == causes_command.steps_of(name) * 512


def test_best_head_is_the_largest_of_a_layer_or_of_all():
    runs = {"0": {"x": [[[0.1, 0.4], [0.3, 0.2]], [[0.5, 0.0], [0.6, 0.1]]]}}
    assert cause_runs.best_head(runs, "x").tolist() == [pytest.approx([0.4, 0.6])]
    assert cause_runs.best_head(runs, "x", layer=0).tolist() == [pytest.approx([0.4, 0.5])]


def test_a_damaged_or_missing_model_is_refused(tmp_path):
    shutil.copytree(cause_runs.FOLDER, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "fixed-copies-0.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="SHA-256"):
        cause_runs.load("fixed copies", tmp_path)
    with pytest.raises(ValueError, match="no model of 'three layers' is kept"):
        cause_runs.load("three layers")
    with pytest.raises(ValueError, match="table of the runs is missing"):
        cause_runs.table(tmp_path / "nowhere")


def test_copied_rows_say_their_first_tokens_again():
    rows = np.arange(1, 27).reshape(2, 13).astype(np.int16)
    said = causes_command.copied(rows, np.array([4, 6]))
    assert said[0].tolist() == [1, 2, 3, 4, 5, 2, 3, 4, 5, 2, 3, 4, 5]
    assert said[1].tolist() == [14, *range(15, 21), *range(15, 21)]


def test_a_run_trains_and_its_snapshots_are_kept(tmp_path, monkeypatch):
    """Two steps of a small run, on made-up text: the last snapshot is the model that was trained, in float16."""
    monkeypatch.setattr(causes_command, "COPYING_STEPS", 2)
    monkeypatch.setattr(causes_command, "EVERY", 1)
    rows = np.random.default_rng(0).integers(1, 512, (20, 257)).astype(np.int16)
    text = live.Text(models.load_tokenizer().backend_tokenizer, rows, torch.from_numpy(rows[:2].astype(np.int64)))
    causes_command.train("fixed copies", 1, text, tmp_path)
    taken = list(causes_command.snapshots("fixed copies", 1, tmp_path, 1))
    assert [step for step, _ in taken] == [0, 1, 2]
    first, *_, last = (model for _, model in taken)
    torch.testing.assert_close(
        first.tok_embed.weight, causes_command.untrained("fixed copies", 1).tok_embed.weight.half().float()
    )
    assert (last.tok_embed.weight != first.tok_embed.weight).any()


def test_what_no_position_enters_forgets_the_order():
    """With smeared keys alone, two earlier tokens that are exchanged far from each other's neighbours change little, but do."""
    network = ALL_NETWORKS["smeared keys alone"](models.config(1, d_model=32, n_heads=4, n_ctx=24, d_vocab=50), 1)
    network.layers[0].attn.alpha.data.fill_(30)  # no smear: only the set of tokens counts
    tokens = torch.randint(1, 50, (3, 20), generator=torch.Generator().manual_seed(0))
    exchanged = tokens.clone()
    exchanged[:, [3, 9]] = tokens[:, [9, 3]]
    torch.testing.assert_close(network(tokens)[:, -1], network(exchanged)[:, -1])
    network.layers[0].attn.alpha.data.fill_(0)
    assert not torch.allclose(network(tokens)[:, -1], network(exchanged)[:, -1], atol=1e-5)


def test_a_network_with_nothing_of_order_sees_only_which_tokens_came():
    network = ALL_NETWORKS["nothing of order"](models.config(1, d_model=32, n_heads=4, n_ctx=24, d_vocab=50), 1)
    tokens = torch.randint(1, 50, (3, 20), generator=torch.Generator().manual_seed(0))
    shuffled = tokens.clone()
    shuffled[:, :-1] = tokens[:, torch.randperm(19, generator=torch.Generator().manual_seed(1))]
    torch.testing.assert_close(network(tokens)[:, -1], network(shuffled)[:, -1])
    assert not torch.allclose(network(tokens)[:, -2], network(shuffled)[:, -2], atol=1e-5)


def test_a_new_table_keeps_what_was_measured_of_other_runs_on_the_same_text_only(tmp_path, monkeypatch):
    """Nothing in the folder of snapshots: the table and the card stay as they are, or are empty for another text."""
    shutil.copytree(cause_runs.FOLDER, tmp_path / "kept")
    monkeypatch.setattr(causes_table, "TABLE", tmp_path / "kept" / "table.json")
    monkeypatch.setattr("sys.argv", ["causes_table", str(tmp_path)])
    monkeypatch.setattr(causes_table, "held_out", lambda text: None)
    rows = np.arange(514).reshape(2, 257).astype(np.int16)
    text, other = (live.Text(models.load_tokenizer().backend_tokenizer, r, torch.from_numpy(r[:1].astype(np.int64)))
                   for r in (rows, rows + 1))  # fmt: skip
    file = tmp_path / "kept" / "card.json"
    card = json.loads(file.read_text(encoding="utf-8")) | {"corpus": text.sha256}
    file.write_text(json.dumps(card), encoding="utf-8")
    for read, same in ((text, True), (other, False)):
        monkeypatch.setattr(causes_table, "read_text", lambda recipe, read=read: read)
        with torch.enable_grad():  # main turns it off
            causes_table.main()
        assert (cause_runs.table(tmp_path / "kept") == cause_runs.table()) == same
        assert (json.loads(file.read_text(encoding="utf-8")) == card) == same
    assert cause_runs.table(tmp_path / "kept") == {}


def test_rotary_scores_with_a_constant_still_know_distances_only():
    """The same token everywhere: a score depends on how far apart two places are, and in layer 1 on nothing."""
    network = ALL_NETWORKS["rotary and a constant, first layer"](
        models.config(2, d_model=32, n_heads=4, n_ctx=24, d_vocab=50), 1
    )
    bridged = models.bridge(network)
    cache = bridged.run_with_cache(torch.full((1, 20), 7))[1]
    odds = cache["pattern", 0][0].log()
    for query in (12, 17):  # ratios of two neighbouring distances are the same from wherever one looks
        torch.testing.assert_close(
            odds[:, query, query - 3] - odds[:, query, query - 2], odds[:, 19, 16] - odds[:, 19, 17]
        )
    plain = cache["pattern", 1][0, :, 19]
    torch.testing.assert_close(plain, torch.full_like(plain, 1 / 20), atol=1e-4, rtol=1e-3)
