"""How fast, with nothing asserted about time: `python tests/run.py benchmarks`, on an idle machine."""

import dataclasses
import subprocess
import sys
from timeit import repeat

import pytest
import torch
from torch.utils.data import Dataset
from transformer_lens.tools.training import TrainConfig, train

from walkthrough import models, training

TRAINING = "training: the same tokens"


@pytest.fixture(scope="module")
def recipe(rounds):
    return training.Recipe(2, steps=rounds(12), warmup=1)


@pytest.fixture(scope="module")
def rows(recipe):
    """Random tokens, for every step a batch."""
    return torch.randint(1, recipe.d_vocab, (recipe.batch * recipe.steps, recipe.n_ctx + 1))


class Rows(Dataset):
    """The same rows in the form that TransformerLens' trainer takes."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return {"tokens": self.rows[i]}


def our_steps(model, recipe, rows):
    loss_of, opts = training.Loss(model, recipe.bf16), training.optimisers(model, recipe)
    for batch in rows.split(recipe.batch):
        model.zero_grad(set_to_none=True)
        loss_of(batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in opts.values():
            optimiser.step()


def gflops_of_a_matrix_product(dtype):
    a = torch.randn(1024, 1024, dtype=dtype)
    return 2 * 1024**3 / min(repeat(lambda: a @ a, number=1, repeat=20)) / 1e9


@pytest.mark.parametrize("bf16", [True, False], ids=["bf16", "float32"])
@pytest.mark.benchmark(group=TRAINING)
def test_our_trainer(benchmark, recipe, rows, short, bf16):
    """Six operations a weight and token (twice that for each entry of a score), over the time they took."""
    recipe = dataclasses.replace(recipe, bf16=bf16)
    model = models.PaperModel(models.config(**recipe.shape))
    benchmark.pedantic(our_steps, (model, recipe, rows), rounds=1, warmup_rounds=int(not short))
    seconds = benchmark.stats.stats.min
    weights = recipe.n_layers * (4 * recipe.d_model**2 + 2 * recipe.n_ctx * recipe.d_model)
    tokens = recipe.n_ctx * len(rows)
    gflops = 6 * tokens * (weights + recipe.d_model * recipe.d_vocab) / seconds / 1e9
    limit = gflops_of_a_matrix_product(torch.bfloat16 if bf16 else torch.float32)
    print(
        f"\n{tokens / seconds:,.0f} tokens/s; {gflops:.0f} GFLOP/s, {gflops / limit:.0%} of a plain product's {limit:.0f}"
    )


@pytest.mark.benchmark(group=TRAINING)
def test_transformer_lens_trainer(benchmark, recipe, rows, short):
    bridge = models.bridge(models.PaperModel(models.config(**recipe.shape | {"n_ctx": recipe.n_ctx + 1})))
    for name, parameter in bridge.named_parameters():
        parameter.requires_grad_(not name.endswith("bias"))
    config = TrainConfig(num_epochs=1, batch_size=recipe.batch, print_every=None, device="cpu")
    benchmark.pedantic(train, (bridge, config, Rows(rows)), rounds=1, warmup_rounds=int(not short))
    print(f"\n{recipe.n_ctx * len(rows) / benchmark.stats.stats.min:,.0f} tokens/s")


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
