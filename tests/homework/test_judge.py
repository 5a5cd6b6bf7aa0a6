"""What a submission can do, and what becomes of it: a mark and a reason each time, and nobody else is touched."""

import json

import nbformat
import pytest

from walkthrough.exercises.check import NOT_ATTEMPTED, RIGHT, WRONG
from walkthrough.homework import handed_in
from walkthrough.homework import judge as judging

pytestmark = pytest.mark.usefixtures("box")
LABELS = ("hw1-1", "hw1-2", "hw1-3")


@pytest.fixture
def hurried(mark, monkeypatch):
    """Less time still: for submissions whose other cells take none."""
    monkeypatch.setattr(judging, "COMPUTING", 1.0)


def marks(judged):
    return "".join(judged.verdicts[label].mark for label in LABELS)


def test_right_answers_get_their_marks_and_keep_their_outputs(mark, hand_in, right):
    right["hw1_1_answer"] += "\nimport matplotlib.pyplot as plt\n_ = plt.plot([1, 2])\nplt.show()\nprint('seen')\n1 / 0"
    judged = mark(hand_in(**right))
    assert marks(judged) == RIGHT * 3
    assert judged.remarks == []
    kinds = [output.output_type for output in judged.notebook.cells[1].outputs]
    assert kinds == ["display_data", "stream", "error"]
    nbformat.validate(judged.notebook)


def test_wrong_ones_are_told_why(mark, hand_in):
    judged = mark(hand_in(
        hw1_1_answer="def product(a, b):\n    return b.T @ a.T",
        hw1_2_answer="def logits_of(model, tokens):\n    return model.W_Q[7]",
        hw1_3_answer="answer = lambda: 5",
    ))  # fmt: skip
    assert marks(judged) == WRONG * 3
    told = [judged.verdicts[label].sentence for label in LABELS]
    assert told[0] == "the factors are exchanged (see notebook 00, “Order”)"
    assert "IndexError" in told[1]
    cell = next(cell for cell in judged.notebook.cells if cell.id == "hw1-1")
    assert [(output.output_type, output.evalue) for output in cell.outputs] == [("error", told[0])]


def test_the_untouched_release_is_not_attempted(mark, hand_in):
    judged = mark(hand_in())
    assert judged.verdicts["hw1-1"].mark == NOT_ATTEMPTED
    assert RIGHT not in marks(judged)


HOSTILE = {
    "endless loop": ("while True:\n    pass", "endless loop"),
    "endless loop that catches all": ("while True:\n    try:\n        while True: pass\n    except BaseException: pass", "endless"),
    "ends the process": ("import os\nos._exit(0)", "ended from inside"),
    "kills its group": ("import os\nos.kill(os.getpid(), 9)", "ended from inside"),
    "writes to the grader": ("import os\nfor n in range(3, 30):\n    try: os.write(n, b'x' * 64)\n    except OSError: pass\n"
                             "while True: pass", "not an answer"),
}  # fmt: skip


@pytest.mark.parametrize(("source", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_a_cell_that_cannot_be_run_is_left_out_and_the_rest_is_marked(mark, hand_in, right, source, reason, hurried):
    judged = mark(hand_in(first="import torch\nkept = 1", **right | {"hw1_1_answer": source}))
    assert marks(judged) == WRONG + RIGHT * 2
    assert any(reason in remark for remark in judged.remarks)
    assert "there is no `product`" in judged.verdicts["hw1-1"].sentence


REFUSED = {
    "sys.exit": "import sys\nsys.exit(0)",
    "10 GB": "import torch\nx = torch.ones(10 * 2**30, dtype=torch.uint8)",
    "10 GB of bytes": "x = bytearray(10 * 2**30)",
    "a full disk": "with open('/scratch/x', 'wb') as f:\n    for i in range(2000): f.write(bytes(2**20))",
    "memory full of files": "for j in range(9):\n    with open(f'/tmp/{j}', 'wb') as f:\n        for i in range(90): f.write(bytes(2**20))",
    "overwrites walkthrough": "import walkthrough\nopen(walkthrough.__file__, 'w').write('x')",
    "asks outside": "import socket\nsocket.create_connection(('192.0.2.1', 80), 3)",
}
PATCHES = ("import torch, walkthrough.exercises.check as c, walkthrough.homework.task as t\ntorch.allclose = c.same = lambda *a, **k: True\n"
           "c.verdict = t.verdict = lambda *a: c.Verdict('✓', 'right')")  # fmt: skip


def test_cells_that_try_are_answered_with_an_error_each_and_the_rest_is_marked(mark, hand_in, right):
    notebook = hand_in(**right | {"hw1_1_answer": "def product(a, b):\n    return b.T @ a.T"})
    notebook.cells[:0] = [nbformat.v4.new_code_cell(source) for source in (*REFUSED.values(), PATCHES)]
    judged = mark(notebook)
    assert marks(judged) == WRONG + RIGHT * 2
    assert judged.remarks == []
    for name, cell in zip(REFUSED, judged.notebook.cells[1:]):  # the set-up comes first
        assert any(output.output_type == "error" for output in cell.outputs), name
        assert sum(len(str(output)) for output in cell.outputs) < 60_000, name


TALKATIVE = {
    "thirty thousand lines": "for k in range(30000): print('training', k)",
    "a gigabyte printed": "for i in range(10**5):\n    print('x' * 10**4)",
    "a gigabyte in one print": "print('x' * 10**9)",
    "three thousand results": "for k in range(3000): display(k)",
    "long results": "for k in range(600): display('y' * 30000)",
    "out and err by turns": "import sys\nfor k in range(3000): print(k, file=(sys.stdout, sys.stderr)[k % 2])",
}


def test_a_cell_that_shows_much_runs_to_its_end_and_what_is_too_much_is_not_kept(mark, hand_in, right):
    notebook = hand_in(**right | {"hw1_1_answer": f"{TALKATIVE['thirty thousand lines']}\n{right['hw1_1_answer']}"})
    notebook.cells[:0] = [nbformat.v4.new_code_cell(f"{source}\n1 / 0") for source in TALKATIVE.values()]
    judged = mark(notebook)
    assert marks(judged) == RIGHT * 3
    assert judged.remarks == []
    for name, cell in zip(TALKATIVE, judged.notebook.cells[1:]):
        assert cell.outputs[-1].output_type == "error", name  # the last line ran
        assert sum("there was more" in str(output) for output in cell.outputs) == 1, name
        assert sum(len(str(output)) for output in cell.outputs) < 300_000, name


def test_what_is_cleared_makes_room_for_what_comes():
    from walkthrough.homework.shown import MOST_TEXT, Shown

    shown = Shown(key=b"")
    outputs = shown.fresh(keep=True)
    for i in range(3):
        shown.send(None, "clear_output", {"wait": True})
        shown.printed("stdout", f"{i}" * (MOST_TEXT + 1))
    assert [output["text"][:5] for output in outputs] == ["22222", "\n[the"]
    assert len(outputs[0]["text"]) == MOST_TEXT


def test_nothing_of_the_teachers_can_be_read(mark, hand_in, right, small_course):
    look = (
        "import os, pathlib\n"
        "found = [os.path.join(d, f) for top in ('/', ) for d, _, fs in os.walk(top) for f in fs\n"
        "         if not d.startswith(('/proc', '/usr', '/dev')) and 'site-packages' not in d and '/lib/python' not in d\n"
        "         and (f.endswith(('.db', '.ipynb')) or 'graders' in d or 'secret' in f)]\n"
        f"def product(a, b):\n    return str(found[:5]) + str(os.path.exists({str(small_course)!r}))"
    )
    judged = mark(hand_in(**right | {"hw1_1_answer": look + "\nprint(product(0, 0))"}))
    (output,) = judged.notebook.cells[1].outputs
    seen = [
        name
        for name in output.text.split("'")
        if name.endswith((".db", ".ipynb")) or "graders" in name or "secret" in name
    ]
    assert seen == []
    assert output.text.strip().endswith("False")


def test_a_function_cannot_find_the_expected_answer_among_its_callers(mark, hand_in, right):
    peek = (
        "def product(a, b):\n    import sys\n    frame, seen = sys._getframe(), set()\n"
        "    while frame:\n        seen |= set(frame.f_locals) | set(frame.f_globals)\n        frame = frame.f_back\n"
        "    return 'oracle' if seen & {'TASKS', 'task', 'oracle', 'expected', 'right'} else 'nothing'"
    )
    judged = mark(hand_in(**right | {"hw1_1_answer": peek + "\nprint(product(0, 0))"}))
    assert judged.notebook.cells[1].outputs[0].text == "nothing\n"
    assert judged.verdicts["hw1-1"].mark == WRONG


def test_edited_deleted_and_copied_test_cells_are_put_back(mark, hand_in, right):
    edited = hand_in(**right | {"hw1_1": "pass", "hw1_1_answer": "def product(a, b):\n    return a"})
    by_id = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell for cell in edited.cells}
    by_id["hw1-1"].metadata.nbgrader.points = 300
    by_id["hw1-2"].metadata.nbgrader.update(solution=True, locked=False)
    edited.cells.remove(by_id["hw1-3"])
    edited.cells.append(nbformat.from_dict(by_id["hw1-2"]))
    judged = mark(edited)
    assert marks(judged) == WRONG + RIGHT * 2
    assert judged.remarks == ["test cell hw1-1 was changed; it was put back", "cell hw1-3 was deleted; it was put back"]
    names = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in judged.notebook.cells]
    assert all(names.count(label) == 1 for label in LABELS)
    tests = [cell for cell in judged.notebook.cells if cell.id in LABELS]
    assert [cell.metadata.nbgrader.points for cell in tests] == [3, 2, 1]
    assert all(cell.metadata.nbgrader.locked for cell in tests)


BROKEN = {
    "empty": ("", "empty"),
    "cut off": ('{"cells": [', "not a notebook"),
    "another format": ("%PDF-1.7", "not a notebook"),
    "no cells": ('{"nbformat": 4}', "not a notebook"),
    "cells of nonsense": (
        json.dumps({"cells": [1, None], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}),
        "not a notebook",
    ),
    "deep": ("[" * 100_000, "not a notebook"),
}


@pytest.mark.parametrize(("text", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_no_notebook_gets_no_points_and_the_reason(mark, text, reason):
    judged = mark(text)
    assert marks(judged) == WRONG * 3
    assert reason in judged.remarks[0]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_notebook_is_read_in_whatever_unicode_an_editor_saved_it(tmp_path, hand_in, right, encoding):
    file = tmp_path / "x.ipynb"
    notebook = hand_in(**right | {"hw1_1_answer": "größe = '→ 中'"})
    file.write_bytes(nbformat.writes(notebook, ensure_ascii=False).replace("\n", "\r\n").encode(encoding))
    assert [cell.source for cell in handed_in.read_submission(file).cells] == [cell.source for cell in notebook.cells]


def test_a_file_that_is_large_for_its_outputs_is_read_and_one_that_is_large_for_its_text_is_told_so(tmp_path, hand_in):
    file, notebook = tmp_path / "x.ipynb", hand_in()
    code = next(cell for cell in notebook.cells if cell.cell_type == "code")
    code.outputs = [nbformat.v4.new_output("stream", text="x" * (21 * 2**20))]
    notebook.metadata["widgets"] = {"state": "x" * 2**20}
    nbformat.write(notebook, file)
    read = handed_in.read_submission(file)
    assert [cell.source for cell in read.cells] == [cell.source for cell in notebook.cells]
    assert "x" * 1000 not in nbformat.writes(read)
    code.source = "#" * (20 * 2**20)
    nbformat.write(notebook, file)
    with pytest.raises(ValueError, match=r"the notebook is 20\.1 MB large even without .* at most 20 MB are read"):
        handed_in.read_submission(file)
    file.write_bytes(b"x" * (100 * 2**20 + 1))
    with pytest.raises(ValueError, match=r"the file is 100\.1 MB large, and at most 100 MB are read"):
        handed_in.read_submission(file)


def test_another_notebook_and_one_without_cells_get_no_points(mark):
    for cells in ([], [nbformat.v4.new_code_cell("x = 1"), nbformat.v4.new_markdown_cell("hello")]):
        judged = mark(nbformat.v4.new_notebook(cells=cells))
        assert RIGHT not in marks(judged)


def test_a_call_that_never_ends_costs_its_own_task_only(mark, hand_in, right, hurried):
    judged = mark(hand_in(**right | {"hw1_1_answer": "def product(a, b):\n    while True: pass"}))
    assert marks(judged) == WRONG + RIGHT * 2
    assert "endless loop" in judged.verdicts["hw1-1"].sentence


NONSENSE = (
    [
        ("return object()", "type object, which cannot be marked"),
        ("import torch; return torch.zeros(10**8)", "larger than 8 MB"),
    ],
    [("return [[1], 2]", "of type list"), ("import os; os._exit(1)", "ended from inside")],
    [("raise SystemExit", "SystemExit"), ("return {'a': 1}", "of type dict")],
)


@pytest.mark.parametrize("pair", NONSENSE)
def test_calls_that_answer_nonsense_get_no_points_and_a_reason(mark, hand_in, right, pair):
    bodies = [f"(*inputs):\n    {body}" for body, _ in pair]
    wrong = {"hw1_1_answer": f"def product{bodies[0]}", "hw1_2_answer": f"def logits_of{bodies[1]}"}
    judged = mark(hand_in(**right | wrong))
    assert marks(judged) == WRONG * 2 + RIGHT
    for label, (body, words) in zip(LABELS, pair):
        assert words in judged.verdicts[label].sentence, body


def test_a_notebook_that_stops_again_and_again_is_given_up(mark, hand_in, right):
    notebook = hand_in(**right)
    notebook.cells[:0] = [nbformat.v4.new_code_cell("import os\nos._exit(0)") for _ in range(8)]
    judged = mark(notebook)
    assert marks(judged) == WRONG * 3
    assert "given up" in judged.remarks[-1]


def test_no_script_of_a_students_reaches_the_feedback(mark, hand_in, right):
    judged = mark(
        hand_in(first="from IPython.display import HTML, display\ndisplay(HTML('<script>alert(1)</script>'))", **right)
    )
    assert "<script>" not in str(judged.notebook.cells[0].outputs)
    assert marks(judged) == RIGHT * 3


def test_processor_time_is_counted_apart_from_the_clock_and_for_each_cell_and_call(mark, hand_in, right, hurried):
    """What waits has the clock's time, what computes less; what a cell used is not counted against the next."""
    busy = "import time\ndef busy(seconds):\n    end = time.process_time() + seconds\n    while time.process_time() < end: pass\n"
    right["hw1_1_answer"] = busy + "busy(0.7)\ntime.sleep(2.5)\n" + right["hw1_1_answer"]
    right["hw1_2_answer"] = "busy(0.7)\n" + right["hw1_2_answer"].replace("    return", "    busy(0.4)\n    return")
    right["hw1_3_answer"] += "\nbusy(9)"
    judged = mark(hand_in(**right))
    assert judged.verdicts["hw1-1"].mark == judged.verdicts["hw1-2"].mark == RIGHT
    assert "no end after 1 seconds of computing: is there an endless loop?" in judged.verdicts["hw1-3"].sentence
    assert len(judged.remarks) == 1


WRONG_PRODUCT = "# my first try\ndef product(a, b):\n    return a"


def below(notebook, name, *sources):
    """Cells of the student's own below the one of this name."""
    at = [cell.id for cell in notebook.cells].index(name) + 1
    notebook.cells[at:at] = [nbformat.v4.new_code_cell(source) for source in sources]
    return notebook


REPLACED = {
    "an old try below the test": ("hw1-1", [WRONG_PRODUCT], "cells 2 and 4; the last is not right, and the one in cell 2, which is,"),
    "an old try below the answer": ("hw1-1-answer", [WRONG_PRODUCT], "cells 2 and 3; the last is not right, and the one in cell 2,"),
    "an old try at the end": ("hw1-written", [WRONG_PRODUCT], "is defined in cells 2 and 9; the last"),
    "two old tries": ("hw1-1", [WRONG_PRODUCT, "product = 3"], "is defined in cells 2, 4 and 5; the last"),
    "an empty one": ("hw1-1", ["def product(a, b):\n    raise NotImplementedError"], "a later cell changes `product`"),
    "one that ends the process": ("hw1-1", ["def product(a, b):\n    import os\n    os._exit(0)"], "is defined in cells 2 and 4"),
    "deleted below": ("hw1-1", ["del product"], "a later cell changes `product` or what it uses; it counted as it was in cell 3"),
    "what it uses is replaced": ("hw1-1", ["def inner(a, b):\n    return a"], "a later cell changes `product` or what it uses"),
}  # fmt: skip


@pytest.mark.parametrize("names", [list(REPLACED)[:4], list(REPLACED)[4:]], ids=["tries", "others"])
def test_a_right_answer_counts_though_a_later_cell_replaces_it(mark, hand_in, right, names):
    for name in names:
        place, sources, said = REPLACED[name]
        mine = right | {
            "hw1_1_answer": "def inner(a, b):\n    return a @ b\ndef product(a, b):\n    return inner(a, b)"
        }
        judged = mark(below(hand_in(**mine), place, *sources))
        assert marks(judged) == RIGHT * 3, name
        (remark,) = judged.remarks
        assert remark.startswith("hw1-1: ")
        assert said in remark, name


def test_a_later_copy_that_is_right_still_counts_and_of_two_wrong_ones_the_last_is_told(mark, hand_in, right):
    better = hand_in(**right | {"hw1_1_answer": WRONG_PRODUCT})
    judged = mark(below(better, "hw1-1", right["hw1_1_answer"]))
    assert marks(judged) == RIGHT * 3
    assert judged.remarks == []
    worse = hand_in(**right | {"hw1_1_answer": WRONG_PRODUCT})
    judged = mark(below(worse, "hw1-1", "def product(a, b):\n    return b.T @ a.T"))
    assert marks(judged) == WRONG + RIGHT * 2
    assert "the factors are exchanged" in judged.verdicts["hw1-1"].sentence
    assert judged.remarks == [
        "hw1-1: `product` is defined in cells 2 and 4, and neither the last nor an earlier one is right"
    ]


def test_what_stood_at_a_place_is_what_its_functions_see():
    from walkthrough.homework.standing import Standing

    names = {}
    exec("by = 2\ndef times(x):\n    return [by * each for each in x]\ndef answer(x):\n    return times(x)", names)
    standing = Standing(names)
    standing.keep("here")
    names["other"] = 1
    assert not standing.replaced("answer", "here")
    assert not standing.replaced("answer", "nowhere")
    names["by"] = 3
    assert standing.replaced("answer", "here")
    standing.keep("there")
    assert standing.replaced("answer", "here", "there")
    with standing.back("here"):
        assert names["answer"]([1]) == [2]
        assert "other" not in names
    assert names["answer"]([1]) == [3]
    assert names["other"] == 1
