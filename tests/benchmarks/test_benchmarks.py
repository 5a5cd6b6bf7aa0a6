"""How fast: nothing is asserted about time. `python tests/run.py tests/benchmarks -n 0 -s` prints the table."""

import subprocess
import sys

import pytest
import torch
from torch.utils.data import Dataset
from transformer_lens.tools.training import TrainConfig, train

from walkthrough import models, training

RECIPE = training.Recipe(2, steps=12, warmup=1)
TOKENS = RECIPE.batch * RECIPE.n_ctx
ROWS = torch.randint(1, RECIPE.d_vocab, (RECIPE.batch * RECIPE.steps, RECIPE.n_ctx + 1))


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


@pytest.mark.parametrize("precision", ["bf16", "float32"])
@pytest.mark.benchmark(group="training: seconds for 18,432 tokens")
def test_our_trainer(benchmark, precision):
    recipe = training.dataclasses.replace(RECIPE, bf16=precision == "bf16")
    model = models.PaperModel(models.config(**recipe.shape))
    benchmark.pedantic(our_steps, (model, recipe), rounds=2, warmup_rounds=1)
    benchmark.extra_info["tokens_per_s"] = TOKENS * recipe.steps / benchmark.stats.stats.min


@pytest.mark.benchmark(group="training: seconds for 18,432 tokens")
def test_transformer_lens_trainer(benchmark):
    bridge = models.bridge(models.PaperModel(models.config(**RECIPE.shape | {"n_ctx": RECIPE.n_ctx + 1})))
    for name, parameter in bridge.named_parameters():
        parameter.requires_grad_(not name.endswith("bias"))
    config = TrainConfig(num_epochs=1, batch_size=RECIPE.batch, lr=1e-3, optimizer_name="Adam", device="cpu", seed=0)
    benchmark.pedantic(train, (bridge, config, Rows()), rounds=2, warmup_rounds=1)
    benchmark.extra_info["tokens_per_s"] = TOKENS * RECIPE.steps / benchmark.stats.stats.min


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bf16", "float32"])
@pytest.mark.benchmark(group="the floating-point limit: one 1024 x 1024 matrix product")
def test_matrix_product(benchmark, dtype):
    """Training costs 6 operations a weight and token, and more for the attention itself."""
    a = torch.randn(1024, 1024, dtype=dtype)
    benchmark(torch.matmul, a, a)
    benchmark.extra_info["gflops"] = 2 * 1024**3 / benchmark.stats.stats.min / 1e9
    d_model, layers, vocab = RECIPE.d_model, RECIPE.n_layers, RECIPE.d_vocab
    weights = layers * 4 * d_model**2 + d_model * vocab
    benchmark.extra_info["gflop_in_18432_tokens"] = (
        TOKENS * RECIPE.steps * 6 * (weights + layers * 2 * RECIPE.n_ctx * d_model) / 1e9
    )


@pytest.mark.parametrize("name", models.NAMES)
@pytest.mark.benchmark(group="loading a model")
def test_load(benchmark, name):
    benchmark.pedantic(models.load, (name,), rounds=3)


@pytest.mark.benchmark(group="importing walkthrough beyond torch and transformer_lens")
def test_import(benchmark):
    """A process that imports both and then all that a notebook imports of ours; it prints the second part's time."""
    program = (
        "import torch, transformer_lens, time; t = time.perf_counter();"
        "from walkthrough import behaviour, bigrams, circuits, corpus, models, paths, plots;"
        "print(time.perf_counter() - t)"
    )
    run = lambda: float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
    benchmark.extra_info["seconds"] = min(benchmark.pedantic(run, rounds=1) for _ in range(1))
