"""Questions for a talk are about what this student handed in, and what they say of the numbers is so."""

import ast
import re
import string

import nbformat
import networkx
import pytest
import torch
from graders import TASKS, oral

from walkthrough import corpus, interventions, models
from walkthrough.beyond import faithful
from walkthrough.homework import oral as talk
from walkthrough.homework.oral import Asked, in_order, page
from walkthrough.homework.own_code import lines_of, parameters
from walkthrough.homework.question import LINE, LOOK, NUMBER, Question, described, fields, questions, right_one

BANK = [question for questions in oral.TASKS.values() for question in questions]
ANSWERED = [question for question in BANK if question.kind == NUMBER and TASKS[question.label].oracle]
CHANGED = [question for question in ANSWERED if question.change]


def test_every_homework_has_questions_of_each_kind_about_its_own_tasks(pytestconfig):
    for assignment, asked in oral.TASKS.items():
        notebook = nbformat.read(pytestconfig.rootpath / "notebooks" / "homework" / f"{assignment}.ipynb", 4)
        outputs = {cell.id: cell.get("outputs") for cell in notebook.cells}
        assert {question.label for question in asked} == {label for label in TASKS if label.startswith(assignment)}
        for kind in (NUMBER, LINE, LOOK):
            assert sum(question.kind == kind for question in asked) >= 2
        assert all(outputs[question.cell] for question in asked if question.kind == LOOK)


@pytest.mark.parametrize("question", BANK, ids=lambda question: f"{question.kind} {question.label}")
def test_a_question_names_only_numbers_that_there_are(question):
    named = {
        name for text in (question.ask, question.listen) for _, name, _, _ in string.Formatter().parse(text) if name
    }
    assert named <= {"value", "place", "shape", "all", "then"} if question.kind == NUMBER else not named
    assert ("then" in named) == (question.change is not None)
    assert not re.search(r"grader|oracle|hidden|cell-|judge|slow way", question.ask + question.listen)


@pytest.mark.parametrize("question", [q for q in ANSWERED if not q.shows_all], ids=lambda question: question.label)
def test_the_number_stands_where_it_is_said_to_in_whatever_form_it_was_returned(question):
    task = TASKS[question.label]
    case = task.cases(5)[0]
    answer = task.oracle(*case)
    if isinstance(answer, bool):
        assert fields(answer, None)["value"] == str(answer)
        return
    answer = torch.as_tensor(answer)
    told = fields(answer, None, question.first)
    rows = answer[(0,) * question.first].tolist()
    place = ast.literal_eval(told["place"] or "[]")
    here = rows
    for i in [place] if isinstance(place, int) else place:
        here = here[i]
    assert f"{here:.3g}" == told["value"]
    assert abs(here) == torch.tensor(rows, dtype=torch.float64).abs().max()
    forms = [answer.tolist(), answer.double().numpy(), list(answer) if answer.ndim else answer.item()]
    assert all(fields(form, None, question.first) == told for form in forms)
    assert "not this one" not in right_one(forms[0], answer, question.first)


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
    assert lines_of(notebook, "f")[0][0] == "b = b @ a.softmax(0)"
    assert lines_of(notebook, "f")[1] == cells[1]
    assert lines_of(notebook, "x") == (["x = ...\nx = {'a': 1}"], "")
    assert lines_of(notebook, "g") == lines_of(notebook, "h") == ([], "")
    assert parameters(notebook, "f") == ["a"]
    assert parameters(notebook, "x") == []
    both = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("seen, x = {}, {}\nx['a'] = 1")])
    assert lines_of(both, "x")[0] == ["seen, x = {}, {}\nx['a'] = 1"]
    later = nbformat.v4.new_code_cell("f, logits = f(1), 2")  # what a name is called later is not the answer
    assert lines_of(nbformat.v4.new_notebook(cells=[*notebook.cells, later]), "f")[0][0] == "b = b @ a.softmax(0)"


def test_what_a_student_wrote_is_no_html_on_the_teachers_page():
    text = page("hw1", "<b>", [Asked("hw1-1", LINE, "x = '<script>'", "why?", "because")])
    assert "<script>" not in text
    assert "<h1>hw1: three questions to &lt;b&gt;</h1>" in text
    text = page(
        "hw1", "ann", [Asked("hw1-1", LINE, "y = x < 1", "why?", "because", "def f(x):\n    y = x < 1\n    return y")]
    )
    assert "<pre>def f(x):\n    <mark>y = x &lt; 1</mark>\n    return y</pre>" in text


def test_answers_of_every_form_become_words():
    assert fields(True)["value"] == "True"
    assert fields({"a": 1})["value"] == "{'a': 1}"
    assert fields([(torch.ones(2, 1), torch.ones(1))], [(2 * torch.ones(2, 1), 0)], first=2)["then"] == "2"
    assert fields([(torch.ones(2, 1), torch.ones(1))])["place"] == ""
    assert fields({"a": 1}, first=2)["value"] == "{'a': 1}"
    assert fields(1e4 * torch.ones(2))["value"] == "10000"
    assert fields((0.5, 2, 1))["all"] == "0.5, 2, 1"
    assert fields(torch.tensor([1.0, float("nan")]))["value"] == "nan"
    assert fields(torch.ones(2), torch.ones(3))["then"] == "of another shape"
    assert fields(None)["value"] == "None"
    assert described((torch.tensor([3, 4]), torch.ones(2, 2))) == "([3, 4]; numbers of shape [2, 2])"
    assert described(0.5) == "0.5"
    assert described(torch.tensor([[1.25, -0.0]]), full=True).split() == ["1.25", "0"]
    assert "…" not in described({f"source {i}": ["a word", "another word"] for i in range(40)}, full=True)
    assert described({f"source {i}": ["a word", "another word"] for i in range(40)}, full=True).count("another") == 40


def test_the_right_number_is_shown_at_the_same_place():
    mine = torch.tensor([[1.0, -5.0], [2.0, 0.0]])
    assert right_one(mine, mine) == "has -5 there"
    assert right_one(mine, -mine) == "has 5 there, and is not this one"
    assert right_one(mine, mine + torch.eye(2)) == "has -5 there, and is not this one"
    assert right_one((mine, mine), torch.stack([2 * mine, mine]), first=1) == "has -10 there, and is not this one"
    assert right_one(mine, torch.ones(3)) == "has the shape [3]"
    assert right_one(False, True) == "is True"
    assert right_one([1, 2, 3], torch.tensor([0.5, 2, 4])) == "is 0.5, 2, 4"


def test_what_the_teacher_is_told_of_one_input_is_so():
    raised, known = TASKS["hw3-3"].cases(4)[0]
    edges = [(f"d{d}", f"o{o}") for d, o in known.nonzero().tolist()]
    nodes = [f"d{d}" for d in range(known.shape[0])] + [f"o{o}" for o in range(known.shape[1])]

    def forced(edges):
        """How many numbers lie within one connected part."""
        graph = networkx.Graph(edges)
        graph.add_nodes_from(nodes)
        parts = networkx.connected_components(graph)
        return sum(sum(n[0] == "d" for n in part) * sum(n[0] == "o" for n in part) for part in parts)

    told = list(map(int, re.findall(r"\d+", oral.what_follows(None, raised, known))))
    assert told[:2] == [(~known).sum(), forced(edges) - len(edges)]
    gains = {(d, o): forced([*edges, (f"d{d}", f"o{o}")]) - forced(edges) for d, o in (~known).nonzero().tolist()}
    assert told[-1] == max(gains.values()) == gains[tuple(told[2:4])]
    W_V, W_O, stream, read, kept, wanted = TASKS["hw6-1"].cases(4)[0]
    new_V = W_V + torch.outer(stream, torch.ones(W_V.shape[1]))
    told = oral.what_was_edited((new_V.tolist(), W_O), W_V, W_O, stream, read, kept, wanted)
    assert told.startswith("This answer changed W_V, and W_V W_O by ")
    assert f"The number is {(stream @ new_V @ W_O @ read).item():.3g}; {wanted:.3g} was wanted" in told
    assert "changed nothing" in oral.what_was_edited((W_V, W_O), W_V, W_O, stream, read, kept, wanted)
    assert oral.ranks([(torch.ones(4, 2), 0, 0), (torch.ones(4, 0), 0, 0)]).endswith(": 2, 0.")


def test_what_the_teacher_is_told_of_the_homeworks_own_runs_is_so(pytestconfig):
    said = {}
    for hw in ("hw1", "hw4"):
        notebook = nbformat.read(pytestconfig.rootpath / "notebooks" / "homework" / f"{hw}.ipynb", 4)
        said |= {
            f"{hw} {cell.id}": "".join(o.get("text", "") for o in cell.get("outputs", [])) for cell in notebook.cells
        }
    *_, far, common = map(float, re.findall(r"\d\.\d\d", said["hw1 cell-16"]))
    assert common < far < common + 0.1
    alone, layer = map(float, re.findall(r"(\d\.\d) times", said["hw4 cell-07"]))
    assert layer < 1 < alone / 3
    model = models.load("one-layer")
    windows = corpus.held_out(model.tokenizer.backend_tokenizer, limit=100_000).long()
    source, quote, out = map(model.to_single_token, (" tz", '="', "US"))
    twins = faithful.twin_prompts(source, quote, windows, windows.unique()[1:], n_contexts=20)
    rise = lambda heads: faithful.term_rise(
        model, twins, out, interventions.ablate(model, [(0, head) for head in heads])
    )
    assert rise(range(8)).abs().max() < 1e-5  # the direct path never sees the source
    assert rise([5]).mean() > 0.3  # other heads do


def test_a_question_that_is_not_of_the_form_is_refused_with_its_place(tmp_path):
    file = tmp_path / "oral.md"
    file.write_text("# hw1\n\n## hw1-1: number\n\nIs it\n{value}?\n\n> It\n> is.\n", encoding="utf-8")
    assert questions(file, {"hw1-1": {"first": 1}}) == {
        "hw1": (Question(NUMBER, "hw1-1", "Is it {value}?", "It is.", first=1),)
    }
    for wrong in (
        "line\n\nWhy?",
        "look\n\nWhy?\n\n> So.",
        "line cell-1\n\nWhy?\n\n> So.",
        "line\n\nA?\n\n> B.\n\n## hw1-2 line\n\nC?",
    ):
        file.write_text(f"## hw1-1: {wrong}", encoding="utf-8")
        with pytest.raises(ValueError, match=r"oral\.md, hw1-1: l.*write what to ask, then a line that begins with >"):
            questions(file, {})


def test_questions_are_made_of_the_students_own_run(small_course, hand_in, right, box):
    bank = (
        Question(NUMBER, "hw1-1", "{value} at {place}; doubled {then}", "twice", change=lambda a, b: (2 * a, b)),
        Question(LINE, "hw1-2", "What does it do?", "It runs."), Question(LOOK, "hw1-3", "Read it.", "Seven.", cell="shown"),
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
    assert f"(A right answer has {value} there.)" in found[0].listen
    assert found[0].shown == "product was called with\n  a: numbers of shape [4, 3]\n  b: numbers of shape [3, 2]"
    assert found[1].shown == "return model(tokens)"
    assert found[1].whole == right["hw1_2_answer"]
    assert found[2].shown == "7"
    nbformat.write(release, file)
    with pytest.raises(ValueError, match=r"anna: nothing of hw1 was attempted"):
        talk.questions_for(file, release, tasks, bank, "s", "hw1", "anna")
    with pytest.raises(ValueError, match=r"graders/oral.md has no questions about hw1"):
        talk.write(small_course, "hw1")
