"""The checks of notebook 20 accept right answers written in other ways, and name each classic mistake; and its prompts."""

import importlib.metadata
from pathlib import Path

import nbformat
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from walkthrough.beyond import frozen_scores, modern, released_store
from walkthrough.exercises import EXERCISES
from walkthrough.exercises.check import verdict


def right_norm(parts, gain, eps):
    """By torch's own RMSNorm of the whole stream, shared out in proportion."""
    stream = parts.sum(0)
    read = torch.nn.functional.rms_norm(stream, (stream.shape[-1],), gain, eps)
    return torch.stack([read * (part / stream) for part in parts])


def right_turned(x, base):
    """By matrices of rotation, one for each position."""
    half, rows = x.shape[1] // 2, []
    for position, vector in enumerate(x):
        angles = position * base ** (-torch.arange(half) / half)
        cos, sin = torch.diag(angles.cos()), torch.diag(angles.sin())
        turn = torch.cat([torch.cat([cos, -sin], 1), torch.cat([sin, cos], 1)])
        rows.append(turn @ vector)
    return torch.stack(rows).numpy()


def right_groups(W, n_heads):
    return W[torch.arange(n_heads) * len(W) // n_heads]


def right_shares(W_Q, W_K):
    half = W_Q.shape[1] // 2
    columns = [torch.tensor([i, i + half]) for i in range(half)]
    sizes = torch.stack([torch.linalg.norm(W_Q[:, two] @ W_K[:, two].T) for two in columns]) ** 2
    return sizes / sizes.sum()


def right_excess(pattern):
    even = torch.ones(pattern.shape[-2:]).tril()
    even = even / even.sum(-1, keepdim=True)
    return (pattern - even)[:, :, 0].sum(-1) / (pattern.shape[-1] - 1)


RIGHT = {"20.1": right_norm, "20.2": right_turned, "20.3": right_groups, "20.4": right_shares, "20.5": right_excess}
ALSO_RIGHT = [
    ("20.1", modern.read_through_norm),
    ("20.2", modern.turned_by_position),
    ("20.3", modern.for_each_head),
    ("20.4", modern.plane_shares),
    ("20.5", modern.sink_excess),
]
GENERIC = [
    ("20.1", lambda p, g, e: right_norm(p, g, e).sum(0), "over axis 0"),
    ("20.2", lambda x, b: right_turned(x, b).T.copy(), "transposed"),
    ("20.3", lambda W, n: 2 * right_groups(W, n), "constant factor 2"),
    ("20.4", lambda Q, K: right_shares(Q, K)[:1], "wrong shape"),
    ("20.5", lambda p: -right_excess(p), "sign is flipped"),
]


@pytest.mark.parametrize(("label", "attempt"), ALSO_RIGHT)
def test_the_package_solves_its_own_exercises(label, attempt):
    assert verdict(label, attempt).sentence == "right"


def test_all_exercises_have_answers_here():
    assert {label for label in EXERCISES if label.startswith("20.")} == set(RIGHT)


def test_a_score_of_turned_vectors_depends_on_their_distance_alone_and_is_that_of_the_cosines_and_sines():
    q, k = torch.randn(2, 1, 8, generator=torch.Generator().manual_seed(0))
    turned = [modern.turned_by_position(x.expand(12, 8), 100.0) for x in (q, k)]
    scores = turned[0] @ turned[1].T
    for back in range(12):
        torch.testing.assert_close(scores.diagonal(-back), scores[back, 0].expand(12 - back))
    angles = (torch.arange(12)[:, None] * 100.0 ** (-torch.arange(4) / 4)).repeat(1, 2)
    torch.testing.assert_close(turned[0], frozen_scores.rotated(q.expand(12, 8), angles.cos(), angles.sin()))


class Pieces:
    """A tokenizer of five pieces."""

    pieces = ("a", " the", " cat", " an", " Dog", " sat")

    def __len__(self):
        return len(self.pieces)

    def decode(self, ids):
        return self.pieces[ids[0]]


def test_words_are_a_space_and_small_letters_and_prompts_say_them_again():
    words = modern.common_words(Pieces())
    assert words.tolist() == [1, 2, 5]
    assert modern.common_words(Pieces(), 2).tolist() == [1, 2]
    rows = modern.random_words(words, length=7, times=3, batch=4, bos=9)
    assert rows.shape == (4, 22)
    assert rows[:, 0].tolist() == [9] * 4
    assert set(rows[:, 1:].flatten().tolist()) == {1, 2, 5}
    for copy in (1, 2):
        torch.testing.assert_close(rows[:, 1:8], rows[:, 1 + 7 * copy : 8 + 7 * copy])
    assert not torch.equal(rows, modern.random_words(words, length=7, times=3, batch=4, bos=9, seed=1))


def test_random_heads_are_others_and_all_alike_likely():
    left_out = [(2, 0), (3, 1)]
    found = [modern.random_heads(3, 2, layers=(2, 3), without=left_out, seed=seed) for seed in range(300)]
    assert all(len(set(each)) == 2 for each in found)
    counts = {head: sum(head in each for each in found) for head in {head for each in found for head in each}}
    assert set(counts) == {(2, 1), (2, 2), (3, 0), (3, 2)}
    assert all(110 < count < 190 for count in counts.values())
    with pytest.raises(ValueError, match="4 other heads in these layers, fewer than 5"):
        modern.random_heads(3, 5, layers=(2, 3), without=left_out)


def test_positivity_between_words_is_that_of_the_whole_table():
    generator = torch.Generator().manual_seed(0)
    read, outputs = (torch.randn(*shape, generator=generator) for shape in ((9, 5), (5, 9)))
    W_V, W_O = (torch.randn(*shape, generator=generator) for shape in ((3, 5, 2), (3, 2, 5)))
    found = modern.word_positivity(read, W_V, W_O, outputs)
    for head in range(3):
        table = (read / read.norm(dim=1, keepdim=True)) @ W_V[head] @ W_O[head] @ outputs
        eigenvalues = torch.linalg.eigvals(table - table.mean(1, keepdim=True))
        expected = eigenvalues.sum().real / eigenvalues.abs().sum()
        torch.testing.assert_close(found[head], expected, atol=1e-4, rtol=1e-4)


NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "20_released_models.ipynb"


def test_without_the_package_the_notebook_stops_with_the_one_line_to_type(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    cells = nbformat.read(NOTEBOOK, 4).cells
    loads = next(cell.source for cell in cells if 'models.load("smollm2")' in cell.source)
    with capture_output() as shown:
        ran = InteractiveShell().run_cell("from walkthrough import models\n" + loads)
    assert isinstance(ran.error_in_exec, released_store.NotInstalled)
    assert shown.stdout.strip() == f"SmolLM2 is not installed here: {released_store.INSTALL}"
    assert any(released_store.INSTALL in cell.source for cell in cells if cell.cell_type == "markdown")
