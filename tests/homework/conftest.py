"""A course of one small assignment, and the homework's graders on the path."""

import shutil
import sys
from pathlib import Path

import nbformat
import pytest

HOMEWORK = Path(__file__).parents[2] / "notebooks" / "homework"
sys.path[:0] = [str(HOMEWORK), str(Path(__file__).parent)]

GRADER = '''"""The tasks of a small assignment."""

import torch

from walkthrough import models
from walkthrough.homework.task import Mistake, Task


def pairs(seed):
    g = torch.Generator().manual_seed(seed)
    return [(torch.randn(4, 3, generator=g), torch.randn(3, 2, generator=g)) for _ in range(2)]


TASKS = {
    "hw1-1": Task("product", 3, "notebook 00, “Rows”", pairs, oracle=lambda a, b: a @ b, mistakes=(
        Mistake("the factors are exchanged", "notebook 00, “Order”", lambda a, b: b.T @ a.T),)),
    "hw1-2": Task("logits_of", 2, "notebook 01, “Sums”", lambda seed: [
        (models.tiny(2, seed), torch.tensor([[0, 5, 9]])), (models.tiny(1, seed + 1), torch.tensor([[0, 7]]))],
        oracle=lambda model, tokens: model(tokens)),
    "hw1-3": Task("answer", 1, "notebook 02, “Tables”", lambda seed: [()], judge=lambda a: None if a == "five" else "no"),
}
'''
CELLS = [
    ("import torch", None),
    ('def product(a, b):\n    """a times b."""\n    ### BEGIN SOLUTION\n    '
     "return torch.stack([sum(x * y for x, y in zip(row, b)) for row in a])\n    ### END SOLUTION", "hw1-1-answer"),
    ("### BEGIN HIDDEN TESTS\nfrom graders import check\ncheck('hw1-1', product)\n### END HIDDEN TESTS\n"
     "assert product(torch.ones(1, 2), torch.ones(2, 1)).shape == (1, 1)", "hw1-1"),
    ("def logits_of(model, tokens):\n    ### BEGIN SOLUTION\n    _, cache = model.run_with_cache(tokens)\n"
     "    return cache['blocks.%d.hook_resid_post' % (model.cfg.n_layers - 1)] @ model.W_U\n    ### END SOLUTION", "hw1-2-answer"),
    ("### BEGIN HIDDEN TESTS\nfrom graders import check\ncheck('hw1-2', logits_of)\n### END HIDDEN TESTS", "hw1-2"),
    ("### BEGIN SOLUTION\nanswer = 'five'\n### END SOLUTION", "hw1-3-answer"),
    ("### BEGIN HIDDEN TESTS\nfrom graders import check\ncheck('hw1-3', answer)\n### END HIDDEN TESTS", "hw1-3"),
]  # fmt: skip
POINTS = {"hw1-1": 3, "hw1-2": 2, "hw1-3": 1}


def assignment() -> nbformat.NotebookNode:
    """The source notebook, with a written question at its end."""
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )
    for source, name in CELLS:
        cell = nbformat.v4.new_code_cell(source)
        if name:
            mark = {"schema_version": 3, "task": False, "grade_id": name}
            test = name in POINTS
            mark |= {"grade": test, "solution": not test, "locked": test} | ({"points": POINTS[name]} if test else {})
            cell.metadata["nbgrader"], cell.id = mark, name
        notebook.cells.append(cell)
    written = nbformat.v4.new_markdown_cell(
        "Because every row of the stream is mapped by the same matrix, on its own, and rows never mix in a product from "
        "the right.\n\n=== BEGIN MARK SCHEME ===\nTwo points for the rows.\n=== END MARK SCHEME ==="
    )
    mark = {"schema_version": 3, "task": False, "grade_id": "hw1-written", "grade": True, "solution": True}
    written.metadata["nbgrader"], written.id = mark | {"locked": False, "points": 2}, "hw1-written"
    notebook.cells.append(written)
    return notebook


@pytest.fixture(scope="session")
def small_homework(tmp_path_factory):
    """A folder like notebooks/homework, with one small assignment in it."""
    folder = tmp_path_factory.mktemp("homework")
    nbformat.write(assignment(), folder / "hw1.ipynb")
    (folder / "small").mkdir()
    (folder / "graders").mkdir()
    (folder / "graders" / "__init__.py").write_text('"""Small."""\n', encoding="utf-8")
    (folder / "graders" / "hw1.py").write_text(GRADER, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def box():
    """For tests that run submissions."""
    if shutil.which("bwrap") is None:
        pytest.skip("submissions run in bubblewrap, which this machine has not (install the system package bubblewrap)")


@pytest.fixture(scope="session")
def small_course(small_homework, tmp_path_factory):
    """A course folder whose only assignment is released."""
    from walkthrough.homework import course

    folder = tmp_path_factory.mktemp("course") / "c"
    course.create(folder, small_homework)
    course.release(folder, "hw1")
    return folder


@pytest.fixture
def hand_in(small_course):
    """A maker of submissions: the release, with other sources in the cells that are named."""

    def make(**sources: str) -> nbformat.NotebookNode:
        notebook = nbformat.read(small_course / "release" / "hw1" / "hw1.ipynb", 4)
        for cell in notebook.cells:
            name = cell.metadata.get("nbgrader", {}).get("grade_id", "first").replace("-", "_")
            if name in sources:
                cell.source = sources[name]
        return notebook

    return make


RIGHT = {
    "hw1_1_answer": "def product(a, b):\n    return a.double() @ b.double()",
    "hw1_2_answer": "def logits_of(model, tokens):\n    return model(tokens)",
    "hw1_3_answer": "answer = 'five'",
}


@pytest.fixture
def right():
    """Right answers to the small assignment."""
    return dict(RIGHT)


@pytest.fixture
def mark(small_course, tmp_path, monkeypatch):
    """Judge a notebook, a text or a file against the small assignment, with short times; its verdicts and remarks."""
    from walkthrough.homework import judge as judging
    from walkthrough.homework.course import tasks_of

    monkeypatch.setattr(
        judging, "COMPUTING", 4.0
    )  # and of the clock as ever: a busy machine makes no right answer late
    release = nbformat.read(small_course / "release" / "hw1" / "hw1.ipynb", 4)

    def run(submission):
        file = tmp_path / "hw1.ipynb"
        text = submission if isinstance(submission, str) else nbformat.writes(submission)
        file.write_text(text, encoding="utf-8")
        return judging.judge(file, release, tasks_of(small_course, "hw1"), "secret", "ann")

    return run
