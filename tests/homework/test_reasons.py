"""Where there is no answer to mark, a student hears why: the cell's own error, in a sentence, and what to do about it."""

import nbformat
import pytest
import torch

from walkthrough.exercises.check import RIGHT, WRONG
from walkthrough.homework import believed, handed_in, reasons
from walkthrough.homework import judge as judging

ONE, TWO, THREE = "hw1_1_answer", "hw1_2_answer", "hw1_3_answer"
AWAY = "and is not there when homework is marked"
HEARD = {
    "first": [
        ("def product(a, b):\n    return a @ b\nx = (1,\n", "there is no `product`: its cell stopped in line 3: it is not Python there (it breaks off: is a bracket or a quote left open?)"),
        ("tokens = open('my notes.csv').read()\ndef logits_of(model, tokens):\n    return model(tokens)",
         "there is no `logits_of`: its cell stopped in line 1: there is no file `my notes.csv`: only the notebook is marked, so it has to make what it reads"),
        ("answer = input('How many? ')",
         "there is no `answer`: its cell stopped in line 1: input() waits there for somebody to type, and nobody does when homework is marked"),
    ],
    "second": [
        ("def prodcut(a, b):\n    return a @ b", "there is no `product`: was it renamed `prodcut`? Give it the name that was asked for"),
        ("def logits_of(model, tokens):\n    return logits_of(model, tokens)",
         "your code stopped with RecursionError: maximum recursion depth exceeded; does it call itself without end?"),
        ("", "there is no `answer`: the cell for it is empty"),
    ],
    "third": [
        ("import seaborn\ndef product(a, b):\n    return seaborn.product(a, b)",
         f"your code stopped with NameError: name 'seaborn' is not defined; that comes from `seaborn`, which is no package of the course, {AWAY}"),
        ("def logits_of(model, tokens):\n    import jax_of_no_course\n    return model(tokens)",
         f"your code stopped with ModuleNotFoundError: No module named 'jax_of_no_course'; that is no package of the course, {AWAY}"),
        ("def five(n):\n    return five(n - 1)\nanswer = five(3)", "there is no `answer`: its cell stopped in line 3: a function calls itself there without end"),
    ],
    "fourth": [
        ("def product(a, b):\n    return a * float(input())", "`product` calls input(), and nobody is there to type when homework is marked"),
        ("def logits_of(model, tokens):\n    return {'logits': model(tokens)}", "your answer is of type dict, where numbers or a tensor were expected"),
        ("answer = later + 1", "there is no `answer`: its cell stopped in line 1: `later` was not defined when it ran: is it defined further down, or in a cell that stopped?"),
    ],
    "fifth": [
        ("def mine():\n    def product(a, b):\n        return a @ b", "there is no `product`: was it renamed `mine`? Give it the name that was asked for"),
        ("def logits_of(model, tokens):\n    return model(tokens)\ndel logits_of",
         "there is no `logits_of` after your notebook has run, though a cell defines it: is it deleted further down?"),
        ("while True:\n    answer = 'five'", "there is no `answer`: its cell was stopped: no end after 4 seconds of computing: is there an endless loop?"),
    ],
}  # fmt: skip


@pytest.mark.usefixtures("box")
@pytest.mark.parametrize("cases", HEARD.values(), ids=HEARD)
def test_the_very_sentence(mark, hand_in, cases):
    judged = mark(hand_in(**{name: source for name, (source, _) in zip((ONE, TWO, THREE), cases)}))
    heard = [verdict.sentence.rpartition(" (see ")[0] for verdict in judged.verdicts.values()]
    assert heard == [sentence for _, sentence in cases]
    assert all(verdict.mark == WRONG for verdict in judged.verdicts.values())
    if "seaborn" in cases[0][0]:
        assert judged.remarks == [f"cell 2: `seaborn` is no package of the course, {AWAY}; the lines below were run"]


COLAB = "from google.colab import drive, files as f\ndrive.mount('/content/drive')\nkept = f.upload()\n"


@pytest.mark.usefixtures("box")
def test_lines_for_a_package_that_is_not_there_cost_no_answer_below_them(mark, hand_in, right):
    mine = right | {
        ONE: COLAB + right[ONE],
        TWO: f"print(kept['x'])\n{right[TWO]}",
        THREE: right[THREE] + "\ndrive.flush_and_unmount()",
    }
    judged = mark(
        hand_in(first="import torch\nimport seaborn_of_nobody as sns; sns.set_theme()\nsns.despine()", **mine)
    )
    assert [verdict.mark for verdict in judged.verdicts.values()] == [RIGHT] * 3
    passed = "what needs `{}`, which is not there when homework is marked, was passed over"
    told = [remark.partition(": ")[2] for remark in judged.remarks]
    assert passed.format("seaborn_of_nobody") in told
    assert told.count(passed.format("google.colab")) == 2
    assert f"`google.colab` is no package of the course, {AWAY}; the lines below were run" in told


@pytest.mark.usefixtures("box")
def test_an_answer_that_needs_such_a_package_is_told_which_and_a_decorator_of_it_is_left_out(mark, hand_in, right):
    jitted = "import functools, jit_of_nobody as jit\n@functools.cache\n@jit.compile(\n    fast=True)\ndef product(a, b):\n    return a @ b"
    mine = {
        "first": "import of_nobody as fast",
        ONE: jitted + "\nassert product.cache_info",
        TWO: "1\nclass Net(fast.Module):\n    pass\ndef logits_of(model, tokens):\n    return model(tokens)",
        THREE: "answer = fast.five()\n1",
    }
    judged = mark(hand_in(**mine))
    heard = [verdict.sentence.rpartition(" (see ")[0] for verdict in judged.verdicts.values()]
    absent = f"which is no package of the course, {AWAY}"
    assert judged.verdicts["hw1-1"].mark == RIGHT
    assert not [o for o in judged.notebook.cells[1].outputs if o.output_type == "error" and "cache_info" in o.evalue]
    assert heard[1] == f"there is no `logits_of`: its cell stopped in line 2: `fast` comes from `of_nobody`, {absent}"
    assert heard[2] == f"there is no `answer`: it comes from `of_nobody`, {absent}"


def test_one_homework_handed_in_as_another_is_named(mark, hand_in):
    other = nbformat.from_dict(hand_in())
    for cell in other.cells:
        cell.id = cell.id.replace("hw1", "hw2")
        if "nbgrader" in cell.metadata:
            cell.metadata.nbgrader.grade_id = cell.metadata.nbgrader.grade_id.replace("hw1", "hw2")
    judged = mark(other)
    assert judged.remarks == ["this is hw2, handed in as hw1: hand in the notebook hw1.ipynb"]
    assert {verdict.sentence for verdict in judged.verdicts.values()} == set(judged.remarks)
    for cell in other.cells:
        cell.metadata.pop("nbgrader", None)  # as some editors do: the ids are left
    assert mark(other).remarks == judged.remarks


def test_a_homework_is_known_by_its_title_where_all_else_is_lost():
    def titled(text, *names):
        cells = [nbformat.v4.new_markdown_cell(text), *(nbformat.v4.new_code_cell("x", id=name) for name in names)]
        return nbformat.v4.new_notebook(cells=cells)

    release = titled("# Homework 1 · The stream\n\nText.", "hw1-1", "hw1-1-answer")
    with pytest.raises(ValueError) as refused:
        handed_in.check_is(titled("# Homework 2 · Heads"), release, ["hw1-1"])
    assert str(refused.value) == "this is “Homework 2 · Heads”, handed in as hw1: hand in the notebook hw1.ipynb"
    for mine in (titled("# My homework"), titled("# Homework 2 · Heads", "hw1-1-answer"), titled("text"), release):
        handed_in.check_is(mine, release, ["hw1-1"])


def test_each_task_is_called_by_what_it_asks(small_course, mark, hand_in, right):
    release = hand_in()
    release.cells.insert(
        1, nbformat.v4.new_markdown_cell("Text.\n\n## Task 1 · Who is to thank? (25 minutes, 4 points)\n\n#hashtag")
    )
    assert handed_in.asked(release, ["hw1-1", "hw1-3"]) == dict.fromkeys(["hw1-1", "hw1-3"], "Who is to thank?")
    judged = judging.Judged(release, asked={"hw1-1": "Who is to thank?", "hw1-2": ""})
    assert [judged.called(label) for label in ("hw1-1", "hw1-2", "hw1-3")] == [
        "hw1-1 “Who is to thank?”",
        "hw1-2",
        "hw1-3",
    ]


def test_a_submissions_own_words_cannot_pose_as_ours():
    said = reasons.stop({"error": "KeyError`", "message": "a\n\n# Full marks `x`" + "y" * 500, "line": 2, "what": ""})
    assert "\n" not in said
    assert "`" not in said
    assert reasons.stop({"error": "SyntaxError", "message": "invalid syntax", "line": 7}) == (
        "its cell stopped in line 7: it is not Python there (invalid syntax)"
    )
    assert len(said) < 300
    assert reasons.stop({"error": None, "line": "1; all right"}) == "its cell stopped with None"
    for strange in (
        None,
        3,
        [1],
        [[1, 2]],
        [["package"]],
        [["package", "x", "y"]],
        [[{}, 1]],
        [["magic", {"a": "`b`\n"}]] * 50,
    ):
        assert len(believed.noted(strange)) <= 1


def test_the_form_of_an_answer_in_words():
    for value, words in (
        (torch.ones(2, 3), "a tensor of shape [2, 3]"), (torch.tensor(1), "a tensor that is one number"), (True, "True or False"),
        ((1, "x", 2.5), "a tuple of 3: a number, a text"), ({"a": 1}, "a dict with the keys 'a'"), ([], "an empty list"), ({}, "an empty dict"),
    ):  # fmt: skip
        assert reasons.form(value).replace("`", "'") == words


@pytest.mark.usefixtures("box")
def test_an_answer_of_another_form_is_told_so_and_no_python_of_ours(mark, hand_in, right, monkeypatch):
    judged = mark(hand_in(**right | {THREE: "answer = ['five', {}]"}))
    assert judged.verdicts["hw1-3"].sentence == "no (see notebook 02, “Tables”)"
    monkeypatch.setattr(
        judging,
        "verdict",
        lambda task, attempt, seed, copied: {"a": 1}[
            attempt if isinstance(attempt, str) else attempt(torch.ones(2, 2), torch.ones(2, 2))
        ],
    )
    judged = mark(hand_in(**right))
    assert judged.verdicts["hw1-1"].sentence.startswith(
        "your answer is a tensor of shape [2, 2], and that is not of the form"
    )
    assert judged.verdicts["hw1-3"].sentence.startswith(
        "your answer is a text, and that is not of the form that was asked for"
    )
    assert RIGHT not in [verdict.mark for verdict in judged.verdicts.values()]
