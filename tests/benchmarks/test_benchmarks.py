"""How fast, with nothing asserted about time: `python tests/run.py -n 0 -s tests/benchmarks`, on an idle machine."""

import dataclasses
import subprocess
import sys
from timeit import repeat

import pytest
import torch
from torch.utils.data import Dataset
from transformer_lens.tools.training import TrainConfig, train

from walkthrough import models, training

RECIPE = training.Recipe(2, steps=12, warmup=1)
TOKENS = RECIPE.batch * RECIPE.steps * RECIPE.n_ctx
ROWS = torch.randint(1, RECIPE.d_vocab, (RECIPE.batch * RECIPE.steps, RECIPE.n_ctx + 1))
TRAINING = f"training: the same {TOKENS:,} tokens"


class Rows(Dataset):
    """The same rows in the form that TransformerLens' trainer takes."""

    def __len__(self):
        return len(ROWS)

    def __getitem__(self, i):
        return {"tokens": ROWS[i]}


def our_steps(model, recipe):
    loss_of, opts = training.Loss(model, recipe.bf16), training.optimisers(model, recipe)
    for batch in ROWS.split(recipe.batch):
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
def test_our_trainer(benchmark, bf16):
    """Six operations a weight and token (twice that for each entry of a score), over the time they took."""
    recipe = dataclasses.replace(RECIPE, bf16=bf16)
    model = models.PaperModel(models.config(**recipe.shape))
    benchmark.pedantic(our_steps, (model, recipe), rounds=1, warmup_rounds=1)
    seconds = benchmark.stats.stats.min
    weights = recipe.n_layers * (4 * recipe.d_model**2 + 2 * recipe.n_ctx * recipe.d_model)
    gflops = 6 * TOKENS * (weights + recipe.d_model * recipe.d_vocab) / seconds / 1e9
    limit = gflops_of_a_matrix_product(torch.bfloat16 if bf16 else torch.float32)
    print(
        f"\n{TOKENS / seconds:,.0f} tokens/s; {gflops:.0f} GFLOP/s, {gflops / limit:.0%} of a plain product's {limit:.0f}"
    )


@pytest.mark.benchmark(group=TRAINING)
def test_transformer_lens_trainer(benchmark):
    bridge = models.bridge(models.PaperModel(models.config(**RECIPE.shape | {"n_ctx": RECIPE.n_ctx + 1})))
    for name, parameter in bridge.named_parameters():
        parameter.requires_grad_(not name.endswith("bias"))
    config = TrainConfig(num_epochs=1, batch_size=RECIPE.batch, print_every=None, device="cpu")
    benchmark.pedantic(train, (bridge, config, Rows()), rounds=1, warmup_rounds=1)
    print(f"\n{TOKENS / benchmark.stats.stats.min:,.0f} tokens/s")


@pytest.mark.parametrize("name", models.NAMES)
@pytest.mark.benchmark(group="loading a model")
def test_load(benchmark, name):
    benchmark.pedantic(models.load, (name,), rounds=3)


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
