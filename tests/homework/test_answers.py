"""The grader, judged: right answers written in many ways are accepted, and each wrong one hears its own misconception."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import draws
import nbformat
import proof
import pytest
import torch
from graders import TASKS
from graders.misconceptions import FIRST

from walkthrough.homework.task import verdict

QUICK = ("hw1-3", "hw1-4", "hw4-3", "hw4-4")  # all of the proof's draws take a second or two of each
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
ANSWERS = {number: proof.answers(number) for number in proof.NUMBERS}
LABELS = [label for right, _ in ANSWERS.values() for label in right]
ONCE = {
    label: proof.remembering(task) for label, task in TASKS.items()
}  # drawn, and answered by the oracle, once for all


@pytest.fixture(scope="module")
def outcomes():
    """Every answer on one seed; the guide's table is made of these."""
    return proof.run(ONCE)


def test_every_answer_is_judged_as_it_should_be(outcomes):
    assert [outcome for outcome in outcomes if not outcome.as_it_should_be] == []


@pytest.mark.parametrize("label", LABELS)
def test_no_mark_is_a_lottery(label):
    """On as many draws as there is time for here; `python tests/homework/draws.py` takes twenty of each task."""
    number = draws.DRAWS if label in QUICK else 1
    assert [str(share) for share in draws.shares((int(label[2]),), number, only=label) if share.missed] == []


def test_the_proof_over_many_draws_judges_as_a_grading_does(outcomes):
    for label in ("hw1-3", "hw3-1", "hw4-4"):  # compared with an oracle, on a model, by a judge
        task, (right, wrong) = ONCE[label], ANSWERS[int(label[2])]
        marks = [
            draws.accepted(task, proof.sent(answer), proof.SEED)
            for answer in [*right[label], *(a for a, _ in wrong[label])]
        ]
        assert marks == [outcome.mark == "✓" for outcome in outcomes if outcome.label == label]


def test_an_answer_that_is_wrong_on_some_draws_only_is_found(monkeypatch):
    """One that smooths what occurs in the text is right wherever every token occurs."""
    task = TASKS["hw1-3"]
    whole = lambda seed: [(torch.tensor([0, 1, 2, 1 + seed % 2, 2, 0, 2, 1]), 3 + seed % 3, 1, 0.5)]
    monkeypatch.setitem(TASKS, "hw1-3", replace(task, cases=whole))
    found = {share.name: share for share in draws.shares((1,), 20, only="hw1-3")}
    lottery = found["table_smoothed_where_seen"]
    assert lottery.missed == sum(seed % 3 == 0 for seed in draws.students("hw1-3", 20)) > 0
    assert "accepted" in str(lottery)
    assert "20 draws" in str(lottery)
    assert found["table_from_a_counter"].missed == 0


def test_the_table_in_the_guide_is_that_of_this_run(outcomes):
    guide = proof.GUIDE.read_text("utf-8")
    assert guide.partition(proof.BEGIN)[2].partition(proof.END)[0].strip() == proof.table(outcomes)


def test_the_misconceptions_to_know_first_are_chosen_for_every_task_and_heard(outcomes):
    assert list(FIRST) == LABELS
    for label, chosen in FIRST.items():
        assert 3 <= len(chosen) <= 4
        for short, beginning in chosen:
            assert len(short) <= 70
            assert any(o.label == label and o.sentence.startswith(beginning) for o in outcomes), (label, beginning)


def test_the_guide_has_no_cell_of_hundreds_of_words():
    cells = [
        cell for line in proof.GUIDE.read_text("utf-8").splitlines() if line.startswith("|") for cell in line.split("|")
    ]
    assert max(len(cell.split()) for cell in cells) <= 90


def test_every_task_has_enough_answers_and_no_two_wrong_ones_hear_the_same(outcomes):
    assert list(TASKS) == LABELS
    for label in LABELS:
        right = [o for o in outcomes if o.label == label and o.expected is None]
        heard = Counter(o.sentence for o in outcomes if o.label == label and o.expected is not None)
        assert len(right) >= 3, label
        assert len(heard) >= 6, label
        expected = [o.expected for o in outcomes if o.label == label and o.expected is not None]
        assert len(set(expected)) == len(expected), label


@pytest.mark.parametrize(
    "label", [label for label in LABELS if label not in ("hw4-2", "hw4-4")]
)  # see the two tests below
def test_right_answers_are_right_in_double_precision(label, monkeypatch):
    task = TASKS[label]
    cases = proof.double(ONCE[label].cases(proof.SEED))
    in_double = type(task)(**{**vars(task), "cases": lambda seed: cases})
    for answer in ANSWERS[int(label[2])][0][label]:
        assert verdict(in_double, answer, 0).mark == "✓", proof.name_of(answer)


def test_a_stub_and_what_is_no_answer_are_refused_without_a_crash():
    def stub(*inputs):
        raise NotImplementedError

    for label, task in ONCE.items():
        assert verdict(task, stub, proof.SEED).mark == "○", label
        for nonsense in (lambda *i: None, lambda *i: "text", lambda *i: [], lambda *i: {}, lambda *i: float("nan"),
                         lambda *i: [[1.0], 2.0], lambda *i: [float("nan")] * 3, lambda *i: 1 / 0):  # fmt: skip
            assert verdict(task, nonsense, proof.SEED).mark == "✗", label


@pytest.mark.parametrize("label", [label for label, task in TASKS.items() if task.mistakes])
def test_every_mistake_that_the_grader_knows_is_told_apart(label):
    task = TASKS[label]
    sentences = [mistake.sentence for mistake in task.mistakes]
    assert len(set(sentences)) == len(sentences)
    for mistake in task.mistakes:  # as an answer it is computed again, on copies
        assert verdict(ONCE[label], mistake.wrong, proof.SEED).sentence == f"{mistake.sentence} (see {mistake.see})"


def test_every_place_that_a_refusal_names_exists():
    for label, task in TASKS.items():
        for see in (task.see, *(mistake.see for mistake in task.mistakes)):
            found = re.fullmatch(r"notebook (\d\d), “(.+)”", see)
            assert found, (label, see)
            (file,) = NOTEBOOKS.glob(f"{found[1]}_*.ipynb")
            headings = [line.lstrip("# ") for cell in nbformat.read(file, 4).cells if cell.cell_type == "markdown"
                        for line in cell.source.splitlines() if line.startswith("#")]  # fmt: skip
            assert any(found[2] in heading for heading in headings), (label, see)


def test_a_task_is_worth_what_its_cell_says_and_a_homework_twenty_points():
    for number in proof.NUMBERS:
        cells = nbformat.read(NOTEBOOKS / "homework" / f"hw{number}.ipynb", 4).cells
        marks = [cell.metadata["nbgrader"] for cell in cells if "nbgrader" in cell.metadata]
        points = {mark["grade_id"]: mark["points"] for mark in marks if mark["grade"]}
        tasks = {label: task.points for label, task in TASKS.items() if label.startswith(f"hw{number}-")}
        assert tasks.items() <= points.items()
        assert sum(points.values()) == 20
        written = [name for name in points if name not in tasks]
        assert written
        assert all("written" in name for name in written)
        assert f"Points: {sum(points.values())}" in "".join(cell.source for cell in cells)
