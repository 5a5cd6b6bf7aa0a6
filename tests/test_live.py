"""Live runs: heads ablated and restored, runs repeated and resumed to the last bit, scores that are those of the model."""

import copy
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from walkthrough import behaviour, corpus, models, training
from walkthrough.training import live
from walkthrough.training.live import LiveRun, Text

TINY = training.Recipe(2, d_model=16, n_heads=2, n_ctx=16, d_vocab=32, batch=4, steps=60, warmup=5, bf16=False)


def sequences():
    """Sequences that count upwards by a step of their own, so that there is something to learn."""
    start, stride = np.random.default_rng(0).integers(0, 31, (2, 58, 1))
    rows = np.concatenate([np.zeros((58, 1), int), 1 + (start + stride * np.arange(16)) % 31], 1)
    tokenizer = corpus.learn_tokenizer(["x"], 257)
    return Text(tokenizer, rows[:50].astype(np.int16), torch.from_numpy(rows[50:]))


@pytest.fixture(scope="module")
def text():
    return sequences()


def trained(run, steps):
    for _ in range(steps):
        run.advance()
    return run


def weights(run):
    return {name: p.detach().clone() for name, p in run.model.named_parameters()}


def assert_same(first, second):
    for name in first:
        assert torch.equal(first[name], second[name]), name


def of_head(run, layer, head):
    """Copies of a head's W_Q, W_K, W_V and W_O, as the module stores them."""
    attn, here = run.model.layers[layer].attn, slice(8 * head, 8 * head + 8)
    return [
        *(x.weight[here].detach().clone() for x in (attn.q, attn.k, attn.v)),
        attn.o.weight[:, here].detach().clone(),
    ]


def without_seconds(history):
    return [{key: value for key, value in measured.items() if key != "seconds"} for measured in history]


def bridged(run):
    return models.bridge(copy.deepcopy(run.model))


def test_a_run_learns(text):
    run = LiveRun(replace(TINY, steps=120, adam_lr=1e-2, muon_lr=2e-2), text)
    losses = [run.advance() for _ in range(120)]
    assert np.mean(losses[-5:]) < losses[0] - 0.2
    assert run.tokens == 120 * 4 * 16
    assert run.seconds > 0


@pytest.mark.parametrize("head", [(0, 1), (1, 0)])
def test_an_ablated_head_adds_nothing_and_its_weights_stay(text, head):
    run = trained(LiveRun(TINY, text), 10)
    before, whole = of_head(run, *head), weights(run)
    run.ablate(head)
    here = slice(8 * head[1], 8 * head[1] + 8)
    zeroed = copy.deepcopy(run.model)
    zeroed.layers[head[0]].attn.o.weight.data[:, here] = 0
    stream, _ = run.patterns(run.twice[:, :-1])
    torch.testing.assert_close(run.model.head(stream), zeroed(run.twice[:, :-1]))
    trained(run, 10)
    for mine, theirs in zip(of_head(run, *head), before):
        assert torch.equal(mine, theirs)
    assert all(
        not torch.equal(whole[name], p) for name, p in weights(run).items() if "pos" not in name and "bias" not in name
    )


def test_a_restored_head_works_and_learns_again(text):
    run = trained(LiveRun(TINY, text), 10)
    tokens = run.twice[:, :-1]
    whole = run.patterns(tokens)[0]
    run.ablate((0, 1))
    assert not torch.equal(run.patterns(tokens)[0], whole)
    run.restore((0, 1))
    assert torch.equal(run.patterns(tokens)[0], whole)
    before = of_head(run, 0, 1)
    trained(run, 1)
    assert all(not torch.equal(*pair) for pair in zip(of_head(run, 0, 1), before))
    assert run.edits == [(10, "ablate", (0, 1)), (10, "restore", (0, 1))]


def edited(text, **options):
    run = trained(LiveRun(TINY, text, **options), 7)
    run.ablate((1, 1))
    trained(run, 5)
    run.restore((1, 1))
    run.ablate((1, 1))  # twice at one step: in this order
    run.ablate((0, 0))
    trained(run, 5)
    run.restore((0, 0))
    return trained(run, 5)


def test_a_run_with_edits_is_repeated_to_the_last_bit(text):
    first = edited(text)
    again = trained(LiveRun(TINY, text, edits=first.edits), first.step)
    assert again.edits == first.edits
    assert again.silent == first.silent == {(1, 1)}
    assert_same(weights(first), weights(again))
    assert without_seconds([first.measure()]) == without_seconds([again.measure()])
    plain = trained(LiveRun(TINY, text), first.step)
    assert not torch.equal(plain.model.head.weight, first.model.head.weight)


@pytest.mark.parametrize("planned", [False, True], ids=["by hand", "planned"])
def test_a_saved_run_goes_on_like_an_unbroken_one(text, tmp_path, planned):
    def part(run, steps, *changes):
        for what, head in [] if planned else changes:
            getattr(run, what)(head)
        trained(run, steps)
        run.measure()
        return run

    edits = [(5, "ablate", (1, 0)), (8, "ablate", (0, 1)), (8, "restore", (1, 0))] if planned else []

    unbroken = LiveRun(TINY, text, edits=edits)
    changes = [(), [("ablate", (1, 0))], [("ablate", (0, 1)), ("restore", (1, 0))]]
    for steps, change in zip((5, 3, 6), changes):
        part(unbroken, steps, *change)
        broken = LiveRun(TINY, text, folder=tmp_path / "runs", edits=edits)
        part(broken, steps, *change)
        broken.save()
    assert broken.step == unbroken.step == 14
    assert_same(weights(broken), weights(unbroken))
    assert (broken.edits, broken.silent) == (unbroken.edits, unbroken.silent)
    assert without_seconds(broken.history) == without_seconds(unbroken.history)
    assert broken.history[0]["seconds"] <= broken.history[-1]["seconds"] <= broken.seconds


def test_nothing_is_saved_without_a_folder(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    LiveRun(TINY, text).save()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [{"seed": 1}, {"muon_lr": 0.1}, {"n_heads": 4}])
def test_a_folder_of_another_recipe_is_refused_and_left_alone(text, tmp_path, change):
    LiveRun(TINY, text, folder=tmp_path).save()
    stored = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="written by another recipe or corpus: give another folder, or delete it"):
        LiveRun(replace(TINY, **change), text, folder=tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == stored


def test_a_folder_of_another_text_is_refused(text, tmp_path):
    LiveRun(TINY, text, folder=tmp_path).save()
    with pytest.raises(ValueError, match="another recipe or corpus"):
        LiveRun(TINY, replace(text, rows=text.rows[::-1].copy()), folder=tmp_path)


def test_a_folder_that_cannot_be_made_gets_one_sentence(text, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        ValueError, match=r"cannot keep its checkpoints in .*file.inside .*: give a folder that you may"
    ):
        LiveRun(TINY, text, folder=tmp_path / "file" / "inside")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_gets_one_sentence(text, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="kept in memory only"):
        LiveRun(TINY, text, folder=tmp_path)


def test_a_disk_without_source_code_gets_one_sentence(monkeypatch):
    monkeypatch.setattr(corpus, "documents", lambda packages, characters: [("x.py", "x = 1\n")])
    with pytest.raises(ValueError, match="this Python has only 6 characters of its standard library as source code"):
        live.read_text(TINY, characters=100_000)


def test_the_text_is_that_of_this_python_and_what_is_held_out_is_not_in_it():
    recipe = replace(TINY, d_vocab=300, n_ctx=32)
    text = live.read_text(recipe, characters=150_000)
    assert text.rows.shape[1] == text.held_out.shape[1] == 33
    assert (text.rows[:, 0] == 0).all()
    assert text.rows.max() < 300
    learnt = {row.tobytes() for row in text.rows}
    assert not learnt & {row.numpy().astype(text.rows.dtype).tobytes() for row in text.held_out}


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        ((2, 0), "there is no head 2:0: the run has layers 0 to 1, each with heads 0 to 1"),
        ((0, 2), "there is no head 0:2"),
        ((-1, 0), "there is no head -1:0"),
    ],
)
@pytest.mark.parametrize("change", ["ablate", "restore"])
def test_a_head_that_is_not_there_gets_one_sentence_and_changes_nothing(text, change, head, sentence):
    run = LiveRun(TINY, text)
    with pytest.raises(ValueError, match=sentence):
        getattr(run, change)(head)
    assert (run.edits, run.silent) == ([], set())


@pytest.mark.parametrize("head", ["1:0", (1,), (0.0, 1), 3, None], ids=repr)
def test_what_is_no_head_gets_one_sentence(text, head):
    with pytest.raises(ValueError, match="is no head: give layer and head, like"):
        LiveRun(TINY, text).change("ablate", head)


def test_after_its_last_step_a_run_goes_no_further(text):
    run = trained(LiveRun(replace(TINY, steps=3), text), 3)
    assert run.finished
    with pytest.raises(ValueError, match="has taken all 3 steps of its recipe"):
        run.advance()


def test_a_full_memory_gets_one_sentence_and_the_run_stays(text, monkeypatch):
    run = trained(LiveRun(TINY, text), 2)
    before = weights(run)

    def full(rows):
        raise RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried …"
        )

    monkeypatch.setattr(run.loss_of, "forward", full)
    with pytest.raises(MemoryError, match="too little free memory for a step"):
        run.advance()
    assert_same(before, weights(run))
    assert run.step == 2
    monkeypatch.setattr(run.loss_of, "forward", lambda rows: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run.advance()


@pytest.mark.parametrize("silent", [[], [(0, 1)], [(1, 1)]], ids=str)
def test_what_is_measured_is_what_the_bridged_model_does(text, silent):
    run = trained(LiveRun(TINY, text), 20)
    for head in silent:
        run.ablate(head)
    found, model = run.measure(), bridged(run)
    for layer, head in silent:
        model.blocks[layer].attn.o.weight.data[:, 8 * head : 8 * head + 8] = 0
    assert run.length == 8  # half of the context
    logits, cache = model.run_with_cache(run.twice[:, :-1])
    for layer in range(2):
        pattern = cache[f"blocks.{layer}.attn.hook_pattern"]
        scores = behaviour.previous_token_score(pattern), behaviour.prefix_matching_score(pattern, 8)
        for kind, score in zip(("previous_token", "prefix_matching"), scores):
            torch.testing.assert_close(torch.tensor(found[kind][layer]), score)
    copies = behaviour.loss_per_position(logits, run.twice)
    held_out = behaviour.loss_per_position(model(text.held_out[:, :-1]), text.held_out)
    losses = {"first_copy": copies[:, :8], "second_copy": copies[:, 8:], "text": held_out}
    for name, loss in losses.items():
        assert found[f"{name}_loss"] == pytest.approx(loss.mean().item(), rel=1e-5)
    assert found["silent"] == [list(head) for head in silent]
    assert (found["step"], found["tokens"]) == (20, 20 * 64)
    assert run.history == [found]


def test_measuring_changes_nothing(text):
    run, plain = LiveRun(TINY, text), LiveRun(TINY, text)
    for _ in range(5):
        run.advance()
        run.measure()
    assert_same(weights(run), weights(trained(plain, 5)))
