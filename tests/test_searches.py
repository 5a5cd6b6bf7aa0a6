"""Searches against the materialised answer: every entry written out, then sorted, ties in order of place."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from walkthrough import searches
from walkthrough.circuits import ov_circuit, qk_circuit
from walkthrough.searches import column_entries, largest_entries, relative_to, row_entries


@dataclass
class Factors:
    A: Tensor
    B: Tensor


def whole_numbers(rows, columns, high=9, seed=0):
    """Factors whose product is exact in any order of summation, with many equal entries."""
    generator = torch.Generator().manual_seed(seed)
    return Factors(*(torch.randint(-high, high + 1, shape, generator=generator).float()
                     for shape in [(rows, 3), (3, columns)]))  # fmt: skip


def written_out(circuit, k, largest=True):
    """The slow way: every entry with its place, by value, then row, then column."""
    matrix = (circuit.A @ circuit.B).tolist()
    sign = -1 if largest else 1
    entries = sorted((sign * value, i, j) for i, row in enumerate(matrix) for j, value in enumerate(row))
    return [(sign * value, i, j) for value, i, j in entries[:k]]


def as_list(found):
    return list(zip(*(part.tolist() for part in found)))


@pytest.fixture(params=[None, (4, 8, 30), (5, 3, 1), (1, 1, 7)], ids=["whole", "4x8", "5x3", "1x1"])
def blocks(request, monkeypatch):
    """Small blocks, so that small matrices have many, and a remainder."""
    if request.param:
        monkeypatch.setattr(searches, "TILE", request.param[:2])
        monkeypatch.setattr(searches, "PANEL", request.param[2])


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("shape", [(13, 21), (21, 13), (8, 16), (1, 30), (30, 1)], ids=str)
def test_every_k_gives_what_writing_out_gives(blocks, shape, largest):
    for seed, high in [(0, 9), (1, 9), (2, 1)]:
        circuit = whole_numbers(*shape, high=high, seed=seed)
        everything = written_out(circuit, None, largest)
        for k in {1, 2, 3, 7, *shape, max(shape) + 1, len(everything)}:
            k = min(k, len(everything))
            assert as_list(largest_entries(circuit, k, largest)) == everything[:k]


@pytest.mark.parametrize("corner", [(0, 0), (0, 20), (12, 0), (12, 20), (11, 19)])
def test_a_single_large_entry_is_found_wherever_it_is(blocks, corner):
    circuit = Factors(torch.zeros(13, 3), torch.zeros(3, 21))
    circuit.A[corner[0], 1], circuit.B[1, corner[1]] = 2.0, 3.0
    assert as_list(largest_entries(circuit, 1)) == [(6.0, *corner)]


def test_equal_entries_come_in_order_of_row_then_column(blocks):
    found = as_list(largest_entries(Factors(torch.ones(5, 2), torch.ones(2, 7)), 16))
    assert found == [(2.0, i // 7, i % 7) for i in range(16)]


@pytest.mark.parametrize("k", [1, 5, 40])
def test_entries_that_are_all_negative(blocks, k):
    noise = torch.rand(28, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.1
    circuit = Factors(noise[:17], -noise[17:].T)
    values, rows, columns = largest_entries(circuit, k)
    expected = written_out(circuit, k)
    assert values.dtype == torch.float64
    assert values.max() < 0
    assert as_list((rows, columns)) == [(i, j) for _, i, j in expected]
    torch.testing.assert_close(values, values.new_tensor([value for value, _, _ in expected]))


@pytest.mark.parametrize("size", [(1000, 1000), (257, 1025), (2049, 255)], ids=str)
def test_odd_sizes_with_the_real_blocks(size):
    generator = torch.Generator().manual_seed(0)
    circuit = Factors(*(torch.randn(shape, generator=generator, dtype=torch.float64)
                        for shape in [(size[0], 16), (16, size[1])]))  # fmt: skip
    circuit.B[:, -1] *= 4  # what is largest is in the last block of columns,
    circuit.A[-1] = circuit.B[:, -1] / 4  # and the largest of all in the last block of rows, too
    for k in [1, 100, 5000]:
        check_against_topk(circuit, k)


def check_against_topk(circuit, k):
    matrix = circuit.A @ circuit.B
    values, rows, columns = largest_entries(circuit, k)
    expected, places = matrix.flatten().topk(k)
    torch.testing.assert_close(values, expected)
    assert (rows * matrix.shape[1] + columns).equal(places)


@pytest.mark.parametrize("head", [0, 3, 5])
@pytest.mark.parametrize("kind", ["qk", "relative qk", "ov"])
def test_the_shipped_model_at_its_whole_vocabulary(one_layer, kind, head):
    circuit = ov_circuit(one_layer, 0, head) if kind == "ov" else qk_circuit(one_layer, 0, head)
    circuit = relative_to(circuit) if kind == "relative qk" else circuit
    assert circuit.shape == (4096, 4096)
    check_against_topk(type(circuit)(circuit.A.double(), circuit.B.double()), 200)

    matrix = circuit.AB
    values, rows, columns = largest_entries(circuit, 1000)
    torch.testing.assert_close(values, matrix.flatten().topk(1000).values)
    torch.testing.assert_close(values, matrix[rows, columns])
    assert len(set(as_list((rows, columns)))) == 1000


def test_the_reference_changes_no_pattern_and_has_score_zero(one_layer):
    circuit = qk_circuit(one_layer, 0, 2)
    for relative, token in [(relative_to(circuit), 0), (relative_to(circuit, 7), 7)]:
        assert type(relative) is type(circuit)
        assert relative.mdim == circuit.mdim
        assert (relative.AB[:, token] == 0).all()
        some = slice(0, 4096, 64)
        scores, patterns = circuit.AB[some], relative.AB[some].softmax(-1)
        torch.testing.assert_close(patterns, scores.softmax(-1))
        log_odds = (patterns / patterns[:, [token]]).log()
        finite = log_odds.isfinite()
        torch.testing.assert_close(relative.AB[some][finite], log_odds[finite], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("largest", [True, False])
def test_rows_and_columns_are_those_of_the_matrix(one_layer, largest):
    qk, ov = relative_to(qk_circuit(one_layer, 0, 1)), ov_circuit(one_layer, 0, 1)
    for source in [0, 17, 4095]:
        for found, line in [(row_entries(ov, source, 50, largest), ov.AB[source]),
                            (column_entries(qk, source, 50, largest), qk.AB[:, source])]:  # fmt: skip
            values, ids = found
            torch.testing.assert_close(values, line.topk(50, largest=largest).values)
            torch.testing.assert_close(values, line[ids])
            assert ids.unique().numel() == 50


@pytest.mark.parametrize("largest", [True, False])
def test_rows_and_columns_with_equal_entries(largest):
    circuit = whole_numbers(9, 14, high=1)
    everything = written_out(circuit, None, largest)
    for i in range(9):
        assert as_list(row_entries(circuit, i, 14, largest)) == [(v, c) for v, r, c in everything if r == i]
    for j in range(14):
        assert as_list(column_entries(circuit, j, 5, largest)) == [(v, r) for v, r, c in everything if c == j][:5]


CIRCUIT = whole_numbers(4, 6)


@pytest.mark.parametrize(("search", "arguments", "message"), [
    (largest_entries, (CIRCUIT, 0), "k is 0: it must be from 1 to 24"),
    (largest_entries, (CIRCUIT, 25), "k is 25: it must be from 1 to 24"),
    (row_entries, (CIRCUIT, 0, 7), "from 1 to 6"),
    (row_entries, (CIRCUIT, 4, 1), "no row 4: token ids are from 0 to 3"),
    (row_entries, (CIRCUIT, -1, 1), "no row -1"),
    (column_entries, (CIRCUIT, 0, 5), "from 1 to 4"),
    (column_entries, (CIRCUIT, 6, 1), "no column 6"),
    (relative_to, (CIRCUIT, 6), "no column 6"),
    (largest_entries, (Factors(torch.ones(2, 4, 3), torch.ones(2, 3, 4)), 1), "pass one head's"),
    (largest_entries, (Factors(torch.ones(4, 3), torch.ones(4, 3)), 1), r"not \[4, 3\] and \[4, 3\]"),
    (largest_entries, (Factors(torch.full((4, 3), torch.nan), torch.ones(3, 4)), 1), "finite"),
])  # fmt: skip
def test_bad_input_is_refused_in_one_sentence(search, arguments, message):
    with pytest.raises(ValueError, match=message):
        search(*arguments)


def test_factors_that_learn_are_searched_without_a_graph():
    circuit = Factors(CIRCUIT.A.clone().requires_grad_(), CIRCUIT.B)
    assert not any(part.requires_grad for part in largest_entries(circuit, 3))


# VmHWM is this process's own peak; ru_maxrss would start from the peak of the process that started it.
PEAK = """
import torch
from types import SimpleNamespace
from walkthrough.searches import largest_entries
memory = lambda name: int(open("/proc/self/status").read().split(name + ":")[1].split()[0]) / 1e3
torch.set_num_threads(1)
A, B = torch.randn(SIZE, 32), torch.randn(32, SIZE)
A @ B[:, :32]
before = memory("VmRSS")
values, rows, columns = search(SimpleNamespace(A=A, B=B), 100)
print(memory("VmHWM") - before)
"""
MATERIALISED = """
def search(circuit, k):
    values, places = (circuit.A @ circuit.B).flatten().topk(k)
    return values, places, places
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux' /proc")
@pytest.mark.parametrize(("search", "size", "low", "high"), [
    ("search = largest_entries", 20_000, 0, 300), (MATERIALISED, 10_000, 400, 4000),
], ids=["streamed", "written out"])  # fmt: skip
def test_memory_in_megabytes(search, size, low, high):
    """20,000 x 20,000 would be 1,600 MB; that the second case, of 400 MB, is seen shows that the first could fail."""
    program = PEAK.replace("SIZE", str(size)).replace("values, rows", search + "\nvalues, rows")
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, encoding="utf-8")
    assert low <= float(ran.stdout) < high
