"""A class whose notebooks went through editors: right answers get their points, and nbgrader takes every notebook."""

import shutil

import nbformat
import pytest
from commanding import rows_of, run
from nbformat.v4 import new_code_cell, new_markdown_cell

LATER = "    return a.double() @ b.double()"
ANSWERS = {
    "hw1-1-answer": f"def product(a, b):\n{LATER}",
    "hw1-2-answer": "def logits_of(model, tokens):\n    return model(tokens)",
    "hw1-3-answer": "answer = 'five'",
    "hw1-written": "It is a product.",
}


def cell_of(notebook, name):
    return next(cell for cell in notebook.cells if cell.id == name)


def as_it_should_be(notebook):
    """Nothing."""


def split_in_lab(notebook):
    """Within the function: the mark in both halves, the id in the second."""
    answer = cell_of(notebook, "hw1-1-answer")
    half = nbformat.from_dict(answer)
    answer.source, half.source, answer.id = answer.source.removesuffix(f"\n{LATER}"), LATER, "new"
    notebook.cells.insert(notebook.cells.index(answer) + 1, half)


def copied_in_vs_code(notebook):
    """The copy, with the same mark and id, is the good one."""
    answer = cell_of(notebook, "hw1-1-answer")
    better = nbformat.from_dict(answer)
    answer.source = "def product(a, b):\n    return a"
    notebook.cells.insert(notebook.cells.index(answer) + 1, better)


def without_marks(notebook):
    """Neither marks nor ids, and the written answer in a cell of code."""
    written = notebook.cells.index(cell_of(notebook, "hw1-written"))
    notebook.cells[written] = new_code_cell(cell_of(notebook, "hw1-written").source)
    for cell in notebook.cells:
        cell.metadata = {}
        del cell["id"]
    notebook.nbformat_minor = 4


def in_new_cells(notebook):
    """Every answer in a cell of the student's own, above all of ours; the set-up deleted."""
    own = [new_code_cell(cell_of(notebook, f"hw1-{n}-answer").source) for n in (1, 2, 3)]
    for n in (1, 2, 3):
        cell_of(notebook, f"hw1-{n}-answer").source = RELEASED[f"hw1-{n}-answer"]
    text = new_markdown_cell(cell_of(notebook, "hw1-written").source)
    cell_of(notebook, "hw1-written").source = RELEASED["hw1-written"]
    notebook.cells[:1] = [*own, text]


def in_one_cell(notebook):
    """All in the last answer's cell, and the rest deleted, tests and the written cell included; the set-up at the end."""
    last = cell_of(notebook, "hw1-3-answer")
    last.source = "\n\n".join(cell_of(notebook, f"hw1-{n}-answer").source for n in (1, 2, 3))
    text = new_markdown_cell(cell_of(notebook, "hw1-written").source)
    notebook.cells = [last, text, notebook.cells[0]]


WAYS = (as_it_should_be, split_in_lab, copied_in_vs_code, without_marks, in_new_cells, in_one_cell)
RELEASED = {}


@pytest.fixture(scope="module")
def rows(box, small_course, tmp_path_factory):
    """The grade table of a class in which everybody has all right, and each has done one of these things."""
    folder = tmp_path_factory.mktemp("mangled") / "course"
    shutil.copytree(small_course, folder)
    released = nbformat.read(folder / "release" / "hw1" / "hw1.ipynb", 4)
    RELEASED.update({cell.id: cell.source for cell in released.cells})
    (folder / "in").mkdir()
    for way in WAYS:
        notebook = nbformat.from_dict(released)
        for cell in notebook.cells:
            cell.source = ANSWERS.get(cell.id, cell.source)
        way(notebook)
        text = nbformat.writes(notebook) if way is not without_marks else nbformat.v4.writes(notebook)
        (folder / "in" / f"{way.__name__.replace('_', '-')}_hw1.ipynb").write_text(text, encoding="utf-8")
    assert run("collect", folder, "hw1", folder / "in")[0] == 0
    code, said = run("grade", folder, "hw1")
    assert code == 0, said
    return rows_of(folder)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_right_homework_gets_its_points_and_its_text_waits(rows, way):
    row = rows[way.__name__.replace("_", "-")]
    marks = [row[name] for name in ("hw1-1", "hw1-2", "hw1-3", "hw1-written", "total")]
    assert marks == ["3", "2", "1", "waits", "6"], row["remarks"]
    assert (row["remarks"] == "") == (way is as_it_should_be)
