"""What 64 virtual heads cost: a run for each, exactly without runs, and as slopes with some exact curvature."""

import os

import pytest
import torch

from walkthrough import behaviour, interventions, models, paths
from walkthrough.two_layers import term_importance as terms
from walkthrough.two_layers import virtual_heads

GROUP = "64 virtual heads, each left out of the full sum and each added to orders 0 and 1: 2 windows of 256 tokens"


@pytest.fixture(scope="module")
def model():
    return models.load("two-layer")


@pytest.fixture(scope="module")
def rows(short):
    rows = torch.randint(1, 4096, (2, 33 if short else 257), generator=torch.Generator().manual_seed(0))
    rows[:, 0] = 0
    return rows


def by_runs(model, rows):
    """Two runs for each virtual head, patterns frozen, with hooks that change what one head reads of another."""
    tokens = rows[:, :-1]
    patterns = terms.two_patterns(model, tokens)
    z, force = virtual_heads.virtual_values(model, tokens, patterns), paths.freeze(patterns)
    without = lambda read, x: interventions.on_head(model, (1, read), "z", lambda old: old - x)
    all_virtual = [without(read, z[:, read].sum(0)) for read in range(8)]
    run = lambda hooks: behaviour.loss_per_position(
        model.run_with_hooks(tokens, fwd_hooks=[*force, *hooks]), rows
    ).mean(1)
    starts, effects = (run([]), run(all_virtual)), torch.zeros(2, 8, 8, len(rows))
    for write in range(8):
        for read in range(8):
            effects[0, write, read] = run([without(read, z[write, read])]) - starts[0]
            effects[1, write, read] = run([*all_virtual, without(read, -z[write, read])]) - starts[1]
    return effects


WAYS = {
    "a run for each": by_runs,
    "exactly, without runs": lambda model, rows: sum(virtual_heads.virtual_effects(model, rows, every=1)),
    "slopes, and curvature at every 16th token": lambda model, rows: sum(
        virtual_heads.virtual_effects(model, rows, every=16)
    ),
}


@pytest.fixture(scope="module")
def slowest():
    return {}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.benchmark(group=GROUP)
def test_virtual_heads(benchmark, model, rows, slowest, way):
    effects = benchmark.pedantic(WAYS[way], (model, rows), rounds=1, warmup_rounds=0)
    seconds = benchmark.stats.stats.min
    first, naive = slowest.setdefault("runs", (seconds, effects))
    if "exactly" in way:
        torch.testing.assert_close(effects, naive, rtol=0, atol=1e-4)
    print(f"\n{seconds:.2f} s, {first / seconds:.1f} times faster than a run for each; {os.cpu_count()} cores")
