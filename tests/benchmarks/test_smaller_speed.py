"""The unpruned layers against smaller ones, in turns and in one run, on one core and on two; nothing is asserted about time.

`python tests/run.py benchmarks -k smaller`, on an idle machine.
"""

import os
import time

import pytest
import torch

from walkthrough.beyond.shared_model import kept_texts
from walkthrough.beyond.smaller_network import load_small, small_network
from walkthrough.beyond.smaller_speed import FastNetwork, tokens_per_second, unpruned
from walkthrough.models import load


@pytest.mark.parametrize("threads", [1, 2])
def test_smaller_layers(rounds, threads):
    """8 windows of 128 tokens, and 4 of 256: through the layers, and through the unembedding as well."""
    if threads > (os.cpu_count() or 1):
        pytest.skip("this machine has one core")
    model, before = load("two-layer"), torch.get_num_threads()
    small = load_small(model)
    nets = {"nothing cut": FastNetwork(small_network(model)), "smaller": FastNetwork(small)}
    texts = kept_texts("course")[:, :128]
    torch.set_num_threads(threads)
    try:
        for tokens in (texts, torch.cat([texts, texts[:, 1:].roll(1, 0), texts[:, :1]], 1)[:4]):
            measured = tokens_per_second(model, nets, tokens, rounds(40), time.perf_counter)
            base = measured.pop("unpruned")
            for name, fast in measured.items():
                ratios = ", ".join(f"{what} {fast[what] / base[what]:.2f} times" for what in base)
                print(f"\n{threads} threads, {list(tokens.shape)}, {name}: {ratios} as fast as unpruned", end="")
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(nets["smaller"](texts), small(texts), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(unpruned(model)(texts), model(texts))
