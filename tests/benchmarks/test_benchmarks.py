"""How fast, with nothing asserted about time: `python tests/run.py benchmarks`, on an idle machine."""

import statistics
import subprocess
import sys
from dataclasses import replace
from time import perf_counter

import pytest
import torch
from torch.utils.data import Dataset
from transformer_lens.tools.training import TrainConfig, train

from walkthrough import models, training

STEPS = 6


class Rows(Dataset):
    """Random tokens in the form that TransformerLens' trainer takes."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return {"tokens": self.rows[i]}


def our_trainer(recipe, rows):
    model = models.PaperModel(models.config(**recipe.shape))
    loss_of, opts = training.Loss(model, recipe.bf16), training.optimisers(model, recipe)

    def steps():
        for batch in rows.split(recipe.batch):
            model.zero_grad(set_to_none=True)
            loss_of(batch).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimiser in opts.values():
                optimiser.step()

    return steps


def their_trainer(recipe, rows):
    bridge = models.bridge(models.PaperModel(models.config(**recipe.shape | {"n_ctx": recipe.n_ctx + 1})))
    for name, parameter in bridge.named_parameters():
        parameter.requires_grad_(not name.endswith("bias"))
    config = TrainConfig(num_epochs=1, batch_size=recipe.batch, print_every=None, device="cpu")
    return lambda: train(bridge, config, Rows(rows))


def operations(recipe, rows):
    """Of the model alone: six for each weight and token, and twice that for each entry of a score."""
    weights = recipe.n_layers * (4 * recipe.d_model**2 + 2 * recipe.n_ctx * recipe.d_model)
    return 6 * recipe.n_ctx * len(rows) * (weights + recipe.d_model * recipe.d_vocab)


def seconds(run):
    start = perf_counter()
    run()
    return perf_counter() - start


def test_trainers_side_by_side(rounds):
    """Ours in both precisions, Muon's work included, TransformerLens' trainer with its Adam, and a plain product; in turn."""
    recipe = training.Recipe(2, bf16=False)
    rows = torch.randint(1, recipe.d_vocab, (recipe.batch * rounds(STEPS), recipe.n_ctx + 1))
    a = torch.randn(1024, 1024)
    contenders = {
        "ours, float32": (our_trainer(recipe, rows), rows),
        "ours, bfloat16": (our_trainer(replace(recipe, bf16=True), rows[: recipe.batch]), rows[: recipe.batch]),
        "TransformerLens'": (their_trainer(recipe, rows), rows),
    }
    speeds, product = {name: [] for name in contenders}, []
    for _ in range(rounds(6)):
        product.append(2 * len(a) ** 3 / min(seconds(lambda: a @ a) for _ in range(10)))
        for name, (steps, given) in contenders.items():
            speeds[name].append(recipe.n_ctx * len(given) / seconds(steps))
    median, limit = {name: statistics.median(values) for name, values in speeds.items()}, statistics.median(product)
    each = operations(recipe, rows) / (recipe.n_ctx * len(rows))
    print(f"\n{torch.get_num_threads()} threads; a plain float32 product of 1024 x 1024: {limit / 1e9:.0f} GFLOP/s")
    for name, speed in median.items():
        share, ratio = speed * each / limit, speed / median["TransformerLens'"]
        print(
            f"{name:17} {speed:8,.0f} tokens/s, {share:4.0%} of the product's rate, {ratio:.2f} times TransformerLens'"
        )


@pytest.mark.parametrize("name", models.NAMES)
@pytest.mark.benchmark(group="loading a model")
def test_load(benchmark, rounds, name):
    benchmark.pedantic(models.load, (name,), rounds=rounds(3))


@pytest.mark.benchmark(group="a process that imports torch, transformer_lens and walkthrough")
def test_import(benchmark):
    """TransformerLens loads its bridge when it is first asked for: that second and more is its own."""
    program = (
        "import torch, time; from transformer_lens import TransformerBridge; t = time.perf_counter();"
        "from walkthrough import behaviour, bigrams, circuits, corpus, figures, models, paths, widgets;"
        "print(time.perf_counter() - t)"
    )
    run = lambda: float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
    print(f"\nwalkthrough itself: {benchmark.pedantic(run, rounds=1):.2f} s")
