"""The trainer: resuming, refusing, sharing the work, and learning something."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from walkthrough import corpus, models, training
from walkthrough.training import trainer
from walkthrough.training.forward import final_stream
from walkthrough.training.precision import speedup_of_bfloat16

TINY = training.Recipe(
    2, d_model=16, n_heads=2, n_ctx=16, d_vocab=32, batch=4, steps=40, warmup=5, bf16=False, checkpoint_every=7
)


@pytest.fixture
def folder(tmp_path):
    """A corpus of sequences that count upwards by a step of their own, so that there is something to learn."""
    generator = np.random.default_rng(0)
    start, stride = generator.integers(0, 31, (2, 50, 1))
    rows = 1 + (start + stride * np.arange(16)) % 31
    (tmp_path / "corpus").mkdir()
    np.save(tmp_path / "corpus" / "train.npy", np.concatenate([np.zeros((50, 1), int), rows], 1).astype(np.int16))
    (tmp_path / "corpus" / "manifest.json").write_text(json.dumps({"sha256": "of a test"}), encoding="utf-8")
    return tmp_path


def trained(folder, recipe=TINY):
    return {key: p.detach().clone() for key, p in training.train("tiny", recipe, folder).named_parameters()}


def assert_same(first, second):
    for key in first:
        assert torch.equal(first[key], second[key]), key


def test_training_learns_and_repeats_itself_exactly(folder):
    rows = torch.from_numpy(np.load(folder / "corpus" / "train.npy")).long()
    recipe = replace(TINY, steps=300, adam_lr=1e-2, muon_lr=2e-2)
    loss_of = training.Loss(models.PaperModel(models.config(**recipe.shape), recipe.seed), bf16=False)
    before = loss_of(rows).item()
    first = trained(folder, recipe)
    training.checkpoint_file(folder, "tiny").unlink()
    assert_same(first, trained(folder, recipe))
    loss_of.model.load_state_dict(first, strict=False)
    assert loss_of(rows).item() < before - 1


def test_a_run_broken_off_at_any_checkpoint_ends_like_an_unbroken_one(folder, monkeypatch):
    unbroken = trained(folder)
    training.checkpoint_file(folder, "tiny").unlink()
    real, saves = trainer.save_checkpoint, []

    def save_then_die(*args):
        real(*args)
        saves.append(args[3])
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "save_checkpoint", save_then_die)
    for _ in range(TINY.steps // TINY.checkpoint_every):
        with pytest.raises(KeyboardInterrupt):
            training.train("tiny", TINY, folder)
    assert saves == [7, 14, 21, 28, 35]
    assert_same(unbroken, trained(folder))


def test_a_run_killed_outright_resumes_to_the_same_result(folder):
    recipe = replace(TINY, steps=800)
    program = (
        "import torch; torch.set_num_threads(1); from pathlib import Path; from walkthrough import training as t;"
        f"t.train('tiny', t.{recipe!r}, Path({str(folder)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    checkpoint = training.checkpoint_file(folder, "tiny")
    while not checkpoint.exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.23)  # somewhere between two checkpoints, or in the middle of writing one
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    broken = trained(folder, recipe)
    checkpoint.unlink()
    assert_same(broken, trained(folder, recipe))


@pytest.mark.parametrize(("speedup", "bf16"), [(0.3, False), (3.0, True)])
def test_the_faster_precision_is_taken_and_told(folder, monkeypatch, capsys, speedup, bf16):
    monkeypatch.setattr(trainer, "speedup_of_bfloat16", lambda device: speedup)
    assert training.settled("tiny", replace(TINY, bf16=None), folder) == replace(TINY, bf16=bf16)
    assert capsys.readouterr().out.startswith(f"tiny trains in {'bfloat16' if bf16 else 'float32'}: ")
    assert training.settled("tiny", replace(TINY, bf16=not bf16), folder).bf16 is not bf16


def test_a_run_goes_on_in_the_precision_that_it_began_in(folder, monkeypatch):
    unbroken = trained(folder)
    training.checkpoint_file(folder, "tiny").unlink()
    monkeypatch.setattr(trainer, "speedup_of_bfloat16", lambda device: 0.3)
    real = trainer.save_checkpoint

    def save_then_die(*args):
        real(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "save_checkpoint", save_then_die)
    with pytest.raises(KeyboardInterrupt):
        trained(folder, replace(TINY, bf16=None))
    monkeypatch.setattr(trainer, "save_checkpoint", real)
    monkeypatch.setattr(trainer, "speedup_of_bfloat16", lambda device: 3.0)
    assert_same(unbroken, trained(folder, replace(TINY, bf16=None)))


def test_the_speedup_is_measured_in_about_the_time_that_it_is_given():
    assert speedup_of_bfloat16(seconds=0.01) > 0


def test_the_trainers_forward_pass_is_the_models():
    model = models.PaperModel(models.config(**TINY.shape), seed=3).double()
    tokens = torch.randint(0, TINY.d_vocab, (3, 11), generator=torch.Generator().manual_seed(0))
    weights = [p for p in model.parameters() if p.requires_grad]
    ours, theirs = model.head(final_stream(model, tokens)), model(tokens)
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad(logits.square().sum(), weights) for logits in (ours, theirs)]
    torch.testing.assert_close(*gradients)
    with pytest.raises(ValueError, match="17 tokens long"):
        final_stream(model, torch.zeros(1, 17, dtype=torch.long))


@pytest.mark.parametrize("chunked", [trainer.CHUNKED, None], ids=["in chunks", "at once"])
def test_the_loss_is_the_cross_entropy_of_the_models_logits(monkeypatch, chunked):
    monkeypatch.setattr(trainer, "CHUNKED", chunked)
    model = models.PaperModel(models.config(**TINY.shape), seed=3)
    rows = torch.randint(0, TINY.d_vocab, (30, 17), generator=torch.Generator().manual_seed(0))
    weights = [p for p in model.parameters() if p.requires_grad]
    ours = training.Loss(model, bf16=False)(rows)
    theirs = torch.nn.functional.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad(loss, weights) for loss in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)
    rough = training.Loss(model, bf16=True)(rows)
    torch.testing.assert_close(rough, theirs, rtol=0.02, atol=0.02)


def test_a_checkpoint_of_another_recipe_is_refused(folder):
    trained(folder)
    with pytest.raises(ValueError, match="another recipe"):
        training.train("tiny", replace(TINY, seed=1), folder)


def test_every_row_is_used_once_an_epoch_and_the_order_changes():
    first, second = (
        np.concatenate([training.batch_rows(48, TINY, 12 * epoch + step) for step in range(12)]) for epoch in (0, 1)
    )
    assert sorted(first) == sorted(second) == list(range(48))
    assert list(first) != list(second)


def test_the_learning_rate_warms_up_and_comes_to_rest():
    factors = [TINY.lr_factor(step) for step in range(TINY.steps)]
    assert factors[0] < factors[2] < factors[5]
    assert factors[5:] == sorted(factors[5:], reverse=True)
    assert factors[-1] < 0.01


@pytest.fixture
def finished(folder, monkeypatch):
    """A finished tiny model, its card measured on random rows in place of networkx."""
    corpus.learn_tokenizer(["x"], 257).save(str(folder / "corpus" / "tokenizer.json"))
    rows = torch.cat([torch.zeros(32, 1, dtype=torch.long), torch.randint(1, 257, (32, 256))], 1)
    monkeypatch.setattr(corpus, "held_out", lambda *args, **kwargs: rows)
    recipe = replace(TINY, d_vocab=257, n_ctx=256, steps=3)
    data = np.random.default_rng(0).integers(1, 257, (8, 257)).astype(np.int16)
    np.save(folder / "corpus" / "train.npy", data)
    model = training.train("two-layer", recipe, folder)
    training.write_model("two-layer", recipe, folder, model)
    return folder, recipe, model


def test_a_finished_model_loads_and_its_card_tells_how_it_was_made(finished):
    folder, recipe, model = finished
    card = models.read_card("two-layer", folder)
    assert card["recipe"] == json.loads(json.dumps(asdict(recipe)))
    assert card["tokens"] == 3 * 4 * 256
    assert set(card["measured"]) == set(card["random_weights"])
    loaded = models.load("two-layer", folder)
    torch.testing.assert_close(loaded.W_E, model.tok_embed.weight.detach(), rtol=1e-3, atol=1e-4)
    assert load_file(folder / "two-layer.safetensors")["head.weight"].dtype == torch.float16
    assert not training.checkpoint_file(folder, "two-layer").exists()
    assert Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id("<BOS>") == 0


def test_a_finished_model_is_not_overwritten(finished):
    folder, recipe, _ = finished
    before = (folder / "two-layer.safetensors").read_bytes()
    with pytest.raises(FileExistsError, match="finished"):
        training.train("two-layer", recipe, folder)
    command = [sys.executable, "-m", "walkthrough.training", "two-layer", "--folder", str(folder)]
    refused = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert refused.returncode == 1
    assert refused.stderr.strip().splitlines()[-1].startswith("two-layer is finished")
    assert "Traceback" not in refused.stderr
    assert (folder / "two-layer.safetensors").read_bytes() == before


def test_two_processes_under_accelerate_do_what_one_does(folder):
    alone = trained(folder)
    training.checkpoint_file(folder, "tiny").unlink()
    script = folder / "run.py"
    script.write_text(
        "import torch; torch.set_num_threads(1)\nfrom pathlib import Path\nfrom safetensors.torch import save_file\n"
        "from accelerate import PartialState\nfrom walkthrough import training as t\n"
        "from walkthrough.training import trainer; from accelerate import PartialState\n"
        "trainer.speedup_of_bfloat16 = lambda device: 0.5 + PartialState().process_index\n"  # they differ, and must agree
        "shares, forward = set(), t.Loss.forward\n"
        "t.Loss.forward = lambda self, rows: (shares.add(len(rows)), forward(self, rows))[1]\n"
        f"model = t.train('tiny', t.{replace(TINY, bf16=None)!r}, Path({str(folder)!r}))\n"
        f"state = PartialState(); assert state.num_processes == 2 and shares == {{{TINY.batch // 2}}}\n"
        "save_file({k: p.detach().clone() for k, p in model.named_parameters()},"
        f" Path({str(folder)!r}) / f'{{state.process_index}}.safetensors')\n",
        encoding="utf-8",
    )
    command = "-m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no"
    command += f" --dynamo_backend no --main_process_port 0 {script}"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, *command.split()], capture_output=True, text=True, env=environment, encoding="utf-8"
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert re.search(r"tok/s, loss=\d", run.stderr)  # the progress bar: time left, speed, loss
    assert re.search(r"\d+:\d\d<\d+:\d\d", run.stderr)
    assert run.stderr.count("  0%|") == 1  # of two processes one shows it
    first, second = (load_file(folder / f"{i}.safetensors") for i in (0, 1))
    assert_same(first, second)
    for key, parameter in alone.items():  # the same batches, summed in another order
        torch.testing.assert_close(first[key], parameter, rtol=1e-2, atol=1e-3)


def test_a_batch_that_cannot_be_shared_is_refused(folder, monkeypatch):
    monkeypatch.setattr(trainer.Accelerator, "num_processes", 3)
    with pytest.raises(ValueError, match="shared equally by 3"):
        training.train("tiny", TINY, folder)
