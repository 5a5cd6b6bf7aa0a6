"""Questions for a talk are about what this student handed in, and what they say of the numbers is so."""

import string

import nbformat
import pytest
import torch
from graders import TASKS, oral

from walkthrough.homework import oral as talk
from walkthrough.homework.oral import Asked, in_order, lines_of, page
from walkthrough.homework.question import LINE, LOOK, NUMBER, described, fields, line, look, number, slow_way

BANK = [question for questions in oral.TASKS.values() for question in questions]
CHANGED = [
    question for question in BANK if question.kind == NUMBER and question.change and TASKS[question.label].oracle
]


def test_every_homework_has_questions_of_each_kind_about_its_own_tasks(pytestconfig):
    for assignment, questions in oral.TASKS.items():
        notebook = nbformat.read(pytestconfig.rootpath / "notebooks" / "homework" / f"{assignment}.ipynb", 4)
        outputs = {cell.id: cell.get("outputs") for cell in notebook.cells}
        assert {question.label for question in questions} == {label for label in TASKS if label.startswith(assignment)}
        for kind in (NUMBER, LINE, LOOK):
            assert sum(question.kind == kind for question in questions) >= 2
        assert all(outputs[question.cell] for question in questions if question.kind == LOOK)


@pytest.mark.parametrize("question", BANK, ids=lambda question: f"{question.kind} {question.label}")
def test_a_question_names_only_numbers_that_there_are(question):
    named = {
        name for text in (question.ask, question.listen) for _, name, _, _ in string.Formatter().parse(text) if name
    }
    assert named <= {"value", "place", "shape", "all", "then"} if question.kind == NUMBER else not named
    assert ("then" in named) == (question.change is not None)


SAYS = {  # what becomes of the number, by the slow way
    "hw1-3": lambda before, then, case: abs(then - 1 / (case[1] - 1)) < 0.01, "hw2-1": lambda before, then, case: abs(then) < 1e-6,
    "hw2-2": lambda before, then, case: abs(before + then) < 1e-6, "hw3-1": lambda before, then, case: abs(before + then) < 1e-6,
    "hw3-4": lambda before, then, case: abs(before - then) < 1e-6, "hw4-2": lambda before, then, case: abs(before - then) < 1e-6,
    "hw4-5": lambda before, then, case: abs(then) < 1e-6, "hw5-1": lambda before, then, case: then <= 1e-9,
    "hw5-2": lambda before, then, case: abs(then) < 1e-6,
}  # fmt: skip


@pytest.mark.parametrize("question", [q for q in CHANGED if q.label in SAYS], ids=lambda question: question.label)
def test_the_number_becomes_what_the_teacher_is_told(question):
    task = TASKS[question.label]
    case = task.cases(7)[0]
    before, then = (talk.fields(task.oracle(*inputs)) for inputs in (case, question.change(*case)))
    first, second = (torch.as_tensor(task.oracle(*inputs)).double() for inputs in (case, question.change(*case)))
    place = tuple(int(i) for i in torch.unravel_index(first.abs().argmax(), first.shape))
    assert SAYS[question.label](first[place].item(), second[place].item(), case)
    assert fields(first, second)["then"] == f"{second[place].item():.3g}"
    assert before["shape"] == then["shape"]


def test_another_last_token_moves_the_last_column_of_credit_only():
    question = next(question for question in CHANGED if question.label == "hw1-1")
    task = TASKS["hw1-1"]
    case = task.cases(3)[0]
    first, second = (torch.as_tensor(task.oracle(*inputs)) for inputs in (case, question.change(*case)))
    torch.testing.assert_close(first[..., :-1], second[..., :-1])
    assert not torch.isclose(first[..., -1], second[..., -1]).any()


def test_all_ranks_are_the_whole_table():
    question = next(question for question in CHANGED if question.label == "hw1-4")
    case = TASKS["hw1-4"].cases(3)[0]
    whole = torch.log_softmax(case[0].double() @ case[1].double(), 1)
    torch.testing.assert_close(
        torch.as_tensor(TASKS["hw1-4"].oracle(*question.change(*case))).double(), whole, rtol=0, atol=1e-4
    )


def test_a_student_gets_the_same_questions_again_and_others_other_ones():
    orders = {student: in_order(oral.TASKS["hw2"], "secret", "hw2", student) for student in map(str, range(20))}
    assert orders["3"] == in_order(oral.TASKS["hw2"], "secret", "hw2", "3")
    assert len({tuple(map(id, order[:3])) for order in orders.values()}) > 10
    for order in orders.values():
        assert [question.kind for question in order[:3]] == [NUMBER, LINE, LOOK]
        assert len({question.label for question in order[:3]}) >= 2
        assert len(order) == len(oral.TASKS["hw2"])


def test_the_line_is_of_the_function_that_counts_and_no_stub():
    cells = ["def f(a):\n    return a + 1", "def f(a):\n    '''Doc.'''\n    b = a\n    for x in a:\n        b = b @ a.softmax(0)\n    return b",
             "x = ...\nx = {'a': 1}", "def g():\n    raise NotImplementedError()", "def broken(:"]  # fmt: skip
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    assert lines_of(notebook, "f")[0] == "b = b @ a.softmax(0)"
    assert lines_of(notebook, "x") == ["x = {'a': 1}"]
    assert lines_of(notebook, "g") == lines_of(notebook, "h") == []


def test_what_a_student_wrote_is_no_html_on_the_teachers_page():
    text = page("hw1", "<b>", [Asked("hw1-1", LINE, "x = '<script>'", "why?", "because")])
    assert "<script>" not in text
    assert "<h1>hw1: three questions to &lt;b&gt;</h1>" in text


def test_answers_of_every_form_become_words():
    assert fields(True)["value"] == "True"
    assert fields({"a": 1})["value"] == "{'a': 1}"
    assert fields([(torch.ones(2, 1), torch.ones(1))], [(2 * torch.ones(2, 1), 0)])["then"] == "2"
    assert fields((0.5, 2, 1))["all"] == "0.5, 2, 1"
    assert fields(torch.tensor([1.0, float("nan")]))["value"] == "nan"
    assert fields(torch.ones(2), torch.ones(3))["then"] == "of another shape"
    assert fields(None)["value"] == "None"
    assert described((torch.tensor([3, 4]), torch.ones(2, 2))) == "([3, 4]; numbers of shape [2, 2])"
    assert described(0.5) == "0.5"


def test_the_slow_way_is_shown_at_the_same_place():
    mine = torch.tensor([[1.0, -5.0], [2.0, 0.0]])
    assert slow_way(mine, -mine) == "has 5 there"
    assert slow_way((mine, mine), torch.stack([2 * mine, mine])) == "has -10 there"
    assert slow_way(mine, torch.ones(3)) == "returns [3]"
    assert slow_way(False, True) == "says True"


def test_questions_are_made_of_the_students_own_run(small_course, hand_in, right, box):
    bank = (
        number("hw1-1", "{value} at {place}; doubled {then}", "twice", lambda a, b: (2 * a, b)),
        line("hw1-2", "What does it do?", "It runs."), look("hw1-3", "shown", "Read it.", "Seven."),
    )  # fmt: skip
    release = nbformat.read(small_course / "release" / "hw1" / "hw1.ipynb", 4)
    notebook = hand_in(**right)
    shown = nbformat.v4.new_code_cell("print(3 + 4)")
    shown.id = "shown"
    release.cells.append(shown)
    notebook.cells.append(nbformat.v4.new_code_cell("print(3 + 4)"))  # some editors give cells new ids
    file = small_course / "oral.ipynb"
    nbformat.write(notebook, file)
    tasks = talk.courses.tasks_of(small_course, "hw1")
    found = talk.questions_for(file, release, tasks, bank, "s", "hw1", "anna")
    assert [put.kind for put in found] == [NUMBER, LINE, LOOK]
    value, _, then = found[0].ask.partition(" at ")
    assert float(then.rpartition(" ")[2]) == pytest.approx(2 * float(value), rel=0.01)
    assert f"(The slow way has {value} there.)" in found[0].listen
    assert found[0].shown == "`product` was called with: numbers of shape [4, 3]; numbers of shape [3, 2]"
    assert found[1].shown == "return model(tokens)"
    assert found[2].shown == "7"
    nbformat.write(release, file)
    with pytest.raises(ValueError, match=r"anna: nothing of hw1 was attempted"):
        talk.questions_for(file, release, tasks, bank, "s", "hw1", "anna")
    with pytest.raises(ValueError, match=r"graders/oral.py has no questions about hw1"):
        talk.write(small_course, "hw1")
