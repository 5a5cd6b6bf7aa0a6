"""A class graded with forked workers, and with a fresh Python for each submission, in one run; nothing is asserted about time.

`python tests/run.py benchmarks -k homework`, on an idle machine. A class of thirty takes minutes; `--short` is a class of two.
"""

import inspect
import re
import sys
import time
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "notebooks" / "homework"), str(ROOT / "tests" / "homework")]
HW = "hw2"
ODD = {
    "endless": "while True:\n    pass",
    "greedy": "x = bytearray(10 * 2**30)",
    "recursive": "def f(n):\n    return f(n)\nf(1)",
}


def hand_in(folder, release, size):
    """A class's submissions in `submitted`: right ones by several roads, one in three partly wrong, and three odd ones."""
    import proof
    from graders import TASKS

    right, wrong = proof.answers(int(HW[2:]))
    for i in range(size):
        notebook, odd = nbformat.from_dict(release), list(ODD)[i // 3 - 1] if i in (3, 6, 9) else None
        for cell in notebook.cells:
            label = cell.id.removesuffix("-answer")
            if cell.id.endswith("-answer") and label in right:
                answers = [answer for answer, _ in wrong[label]] if i % 3 == 1 and int(label[-1]) % 2 else right[label]
                answer = answers[i % len(answers)]
                cell.source = re.sub(rf"\b{answer.__name__}\b", TASKS[label].name, inspect.getsource(answer))
        if odd:
            notebook.cells.insert(1, nbformat.v4.new_code_cell(ODD[odd]))
        target = folder / "submitted" / f"student{i:02}" / HW
        target.mkdir(parents=True)
        nbformat.write(notebook, target / f"{HW}.ipynb")


def test_a_class_of_thirty(short, tmp_path, monkeypatch):
    from walkthrough.homework import course, grading, nursery, sandbox

    folder = tmp_path / "course"
    course.create(folder, ROOT / "notebooks" / "homework")
    hand_in(folder, nbformat.read(course.release(folder, HW), 4), 2 if short else 30)
    students = sorted(path.name for path in (folder / "submitted").iterdir())
    monkeypatch.setattr(sandbox, "check", lambda: None)  # once for each class, and not for each part of it
    forking = nursery.Nursery()
    seconds, marks = dict.fromkeys(("fresh", "forked"), 0.0), {"fresh": {}, "forked": {}}
    for part in (students[i : i + 15] for i in range(0, len(students), 15)):  # in turns: the machine's pace may change
        for way in seconds:
            monkeypatch.setattr(sandbox, "WORKERS", forking if way == "forked" else nursery.Nursery())
            sandbox.WORKERS.refused |= way == "fresh"
            begin = time.perf_counter()
            judged = grading.grade(folder, HW, students=part)
            seconds[way] += time.perf_counter() - begin
            marks[way] |= {student: [v.mark for v in result.verdicts.values()] for student, result in judged.items()}
    if forking.refused:
        pytest.skip("this system lets no process join a box: every worker is a fresh one")
    fresh, forked = seconds.values()
    print(
        f"\n{len(students)} students, a fresh Python each {fresh:.0f} s, forked {forked:.0f} s: {forked / fresh:.2f} of the time",
        end="",
    )
    assert marks["forked"] == marks["fresh"]


@pytest.mark.parametrize("command", ["collect", "table", "feedback", "leaks"])
def test_what_a_command_costs_before_it_does_anything(rounds, command, tmp_path):
    """Each command is told a folder that is no course: what remains is Python, the imports, and a refusal."""
    import subprocess

    arguments = {"collect": ["x", "hw1", "."], "feedback": ["x", "hw1"]}.get(command, ["x"])
    taken = []
    for _ in range(rounds(3)):
        begin = time.perf_counter()
        ran = subprocess.run(
            [sys.executable, "-m", "walkthrough.homework", command, *arguments], cwd=tmp_path, capture_output=True
        )
        taken.append(time.perf_counter() - begin)
        assert ran.returncode == 1
    print(f"\n{command}: {min(taken):.1f} s", end="")
