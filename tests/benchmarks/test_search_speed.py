"""The largest of d_vocab x d_vocab entries: how fast and in how much memory, with nothing asserted about either.

`python tests/run.py benchmarks -k search`, on an idle machine: the time of the plain product
is taken before each round, in tiles of the same size that are thrown away.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import pytest
import torch
from torch import Tensor

from walkthrough import searches

K, MATERIALISED = 100, 16_384


@dataclass
class Factors:
    A: Tensor
    B: Tensor


def factors(d_vocab, d_head):
    generator = torch.Generator().manual_seed(0)
    return Factors(*(torch.randn(shape, generator=generator) for shape in [(d_vocab, d_head), (d_head, d_vocab)]))


def plain_product(circuit):
    tile = torch.empty(searches.TILE[0] * searches.TILE[1])
    for a in circuit.A.split(searches.TILE[0]):
        for b in circuit.B.split(searches.TILE[1], dim=1):
            torch.mm(a, b, out=tile[: len(a) * b.shape[1]].view(len(a), b.shape[1]))


def streamed(circuit):
    return searches.largest_entries(circuit, K)[0]


def written_out(circuit):
    return (circuit.A @ circuit.B).flatten().topk(K).values


def seconds(function, *arguments):
    start = perf_counter()
    function(*arguments)
    return perf_counter() - start


def resident(name):
    """VmRSS now, or VmHWM, the peak of this process alone, in MB."""
    return int(Path("/proc/self/status").read_text(encoding="utf-8").split(name + ":")[1].split()[0]) / 1e3


def added_memory(search, *size):
    """What a search adds at its peak, in MB, in a process of its own that has done nothing but a small product."""
    program = f"import {Path(__file__).stem} as here; here.print_added_memory(here.{search.__name__}, *{size})"
    path = {"cwd": Path(__file__).parent}
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, **path, encoding="utf-8"
    )
    return float(ran.stdout)


def print_added_memory(search, *size):
    torch.set_num_threads(1)
    circuit = factors(*size)
    circuit.A[:8] @ circuit.B[:, :8]
    before = resident("VmRSS")
    search(circuit)
    print(resident("VmHWM") - before)


@pytest.mark.parametrize(("d_vocab", "d_head"), [(1024, 64), (4096, 64), (16_384, 64), (50_257, 64), (50_257, 32)])
@pytest.mark.benchmark(group=f"the {K} largest entries of A @ B")
def test_streamed(benchmark, short, d_vocab, d_head):
    if short and d_vocab > 1024:
        pytest.skip("a large vocabulary, for the whole benchmark only")
    circuit, plain = factors(d_vocab, d_head), []
    measure = lambda: plain.append(seconds(plain_product, circuit))
    benchmark.pedantic(streamed, (circuit,), setup=measure, rounds=1 if d_vocab > MATERIALISED else 3)
    took, floor = benchmark.stats.stats.min, min(plain)
    print(f"\n{d_vocab:,} tokens, d_head {d_head}: plain product {floor:.3f} s, streamed {took:.3f} s", end=" ")
    print(f"({took / floor:.2f} times) and {added_memory(streamed, d_vocab, d_head):,.0f} MB", end="")
    if d_vocab <= MATERIALISED:
        naive = seconds(written_out, circuit)
        print(f"; written out {naive:.3f} s ({naive / floor:.1f} times)", end=" ")
        print(f"and {added_memory(written_out, d_vocab, d_head):,.0f} MB", end="")
    print()
