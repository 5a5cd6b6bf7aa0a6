"""What editors and students do to cells: every answer that was written still counts, and nothing of ours overrides it."""

import copy

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_raw_cell

from walkthrough.homework.restoring import restored

STUB = 'def product(a, b):\n    """a times b."""\n    raise NotImplementedError'
TWO = "def first(x):\n    raise NotImplementedError\n\n\ndef second(x):\n    raise NotImplementedError"
RIGHT = 'def product(a, b):\n    """a times b."""\n    rows = [a * b]\n    return rows[0]'
SETUP = "import math\nfactor = 2"


def marked(cell, name, **mark):
    """A cell of an assignment."""
    plain = {"schema_version": 3, "task": False, "grade": False, "solution": False, "locked": False}
    cell.metadata["nbgrader"], cell.id = plain | {"grade_id": name} | mark, name
    return cell


@pytest.fixture
def release():
    """A title, a set-up cell, two answers with their tests, a look, and a written question."""
    cells = [
        new_markdown_cell("# Homework"), new_code_cell(SETUP), new_markdown_cell("## Task 1"),
        marked(new_code_cell(STUB), "one-answer", solution=True),
        marked(new_code_cell("assert product(1, 1) == 1"), "one", grade=True, locked=True, points=3),
        new_code_cell("product(2, 3)"),
        marked(new_code_cell(TWO), "two-answer", solution=True),
        marked(new_code_cell("assert first(1)"), "two", grade=True, locked=True, points=2),
        new_markdown_cell("## Written question\n\nWhy?"),
        marked(new_markdown_cell("YOUR ANSWER HERE"), "written", grade=True, solution=True, points=2),
        new_markdown_cell("## Where next"),
    ]  # fmt: skip
    for number, cell in enumerate(cells):
        cell.id = cell.id if "nbgrader" in cell.metadata else f"plain-{number}"
    return nbformat.v4.new_notebook(cells=cells)


@pytest.fixture
def handed_in(release):
    """The release with answers to task 1 and to the written question, to be spoilt."""
    notebook = copy.deepcopy(release)
    cell_of(notebook, "one-answer").source = RIGHT
    cell_of(notebook, "written").source = "Because."
    return notebook


@pytest.fixture
def back(release):
    """Fill the release with a submission: the notebook, the remarks, and what is defined when all its cells have run."""

    def fill(submission):
        untouched = copy.deepcopy(submission)
        notebook, remarks = restored(submission, release)
        assert submission == untouched
        nbformat.validate(notebook)
        names = [name_of(cell) for cell in notebook.cells if name_of(cell)]
        assert len(names) == len(set(names))
        for cell in release.cells:  # nbgrader has all that it has points for
            mark = cell.metadata.get("nbgrader", {})
            if mark.get("grade"):
                (ours,) = [each for each in notebook.cells if name_of(each) == mark["grade_id"]]
                assert ours.metadata == cell.metadata
                assert ours.cell_type == cell.cell_type
                assert not mark["locked"] or ours.source == cell.source
        space = {}
        for cell in notebook.cells:
            if cell.cell_type == "code":
                try:
                    exec(cell.source, space)
                except Exception:
                    continue  # as a notebook goes on where all cells are run one by one
        return notebook, remarks, space

    return fill


def name_of(cell):
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def cell_of(notebook, name):
    return next(cell for cell in notebook.cells if name_of(cell) == name)


def put(notebook, after, *cells):
    """Put cells behind one."""
    place = next(i for i, cell in enumerate(notebook.cells) if after in (name_of(cell), cell.id)) + 1
    notebook.cells[place:place] = cells


def twin(cell, source, new_id=True):
    """A copy of a cell, mark and all, with another source."""
    made = copy.deepcopy(cell)
    made.source = source
    if new_id:
        made.id = "another"
    return made


def test_a_submission_as_it_should_be_is_taken_over_without_a_word(handed_in, back, release):
    notebook, remarks, space = back(handed_in)
    assert remarks == []
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in handed_in.cells]
    assert space["product"](3, 4) == 12


HELPER = "def scaled(x):\n    return factor * x"
USES = "def product(a, b):\n    return scaled(a) * b / factor"


@pytest.mark.parametrize("mark", ["both", "first", "second", "none"])
@pytest.mark.parametrize(
    ("first", "second"), [(HELPER, USES), (USES, HELPER), *((RIGHT[:i], RIGHT[i:].lstrip("\n")) for i in (18, 39, 58))]
)
def test_both_halves_of_a_split_answer_run_whichever_has_the_mark(handed_in, back, first, second, mark):
    """JupyterLab leaves the mark in both, VS Code in the first; a program that knows no marks in none."""
    answer = cell_of(handed_in, "one-answer")
    put(handed_in, "one-answer", twin(answer, second))
    answer.source = first
    halves = [answer, handed_in.cells[handed_in.cells.index(answer) + 1]]
    for half, keeps in zip(
        halves, {"both": (1, 1), "first": (1, 0), "second": (0, 1), "none": (0, 0)}[mark], strict=True
    ):
        if not keeps:
            half.metadata, half.id = nbformat.NotebookNode(), f"new-{first[:3]}-{half is answer}".replace(" ", "")
    _, remarks, space = back(handed_in)
    assert space["product"](3, 4) == 12
    assert remarks != [] or mark in ("first", "second")


@pytest.mark.parametrize("same_id", [True, False])
def test_the_improved_copy_of_an_answer_counts_and_an_untouched_one_does_not(handed_in, back, same_id):
    answer = cell_of(handed_in, "one-answer")
    better = twin(answer, "def product(a, b):\n    return b * a", not same_id)
    put(handed_in, "one-answer", better)
    put(handed_in, "another" if not same_id else "one", twin(answer, STUB))
    notebook, remarks, space = back(handed_in)
    assert space["product"](3, 4) == 12
    assert remarks == ["cell one-answer was split or copied: all 2 parts were run, in their order"]
    assert STUB not in [cell.source for cell in notebook.cells]
    answer.source = "def product(a, b):\n    return 0"
    assert back(handed_in)[2]["product"](3, 4) == 12


@pytest.mark.parametrize("above", [True, False])
def test_an_answer_in_a_new_cell_is_not_overridden_by_the_untouched_one(handed_in, back, above):
    cell_of(handed_in, "one-answer").source = STUB
    put(handed_in, "plain-2" if above else "one", new_code_cell(RIGHT))
    notebook, remarks, space = back(handed_in)
    assert space["product"](3, 4) == 12
    assert cell_of(notebook, "one-answer").source == RIGHT
    assert remarks == ["cell one-answer holds no answer; yours was taken from another cell, with `product`"]


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("title", ["# Homework", "# Homework of Anna"])
def test_without_any_marks_all_answers_count(handed_in, back, ids, title):
    handed_in.cells[0].source = title
    cell_of(handed_in, "two-answer").source = "def first(x):\n    return 1\n\n\ndef second(x):\n    return 2"
    for cell in handed_in.cells:
        cell.metadata = nbformat.NotebookNode()
        if not ids:
            del cell["id"]
    handed_in.nbformat_minor = 5 if ids else 4
    notebook, _, space = back(handed_in)
    assert (space["product"](3, 4), space["first"](0), space["second"](0)) == (12, 1, 2)
    assert "Because." in cell_of(notebook, "written").source
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert len(sources) == len(set(sources))


def test_two_answers_in_one_cell_stay(handed_in, back):
    handed_in.cells.remove(cell_of(handed_in, "two-answer"))
    cell_of(handed_in, "one-answer").source += "\n\n\ndef first(x):\n    return 1\n\n\ndef second(x):\n    return 2"
    _, remarks, space = back(handed_in)
    assert (space["product"](3, 4), space["first"](0)) == (12, 1)
    assert remarks == ["cell two-answer holds no answer; yours was taken from another cell, with `first`, `second`"]


@pytest.mark.parametrize("kept", [True, False])
def test_half_an_answer_elsewhere_is_not_overridden_by_the_stub(handed_in, back, kept):
    if not kept:
        handed_in.cells.remove(cell_of(handed_in, "two-answer"))
    put(handed_in, "plain-2", new_code_cell("if True:\n    def first(x):\n        return 1"))
    _, _, space = back(handed_in)
    assert space["first"](0) == 1
    with pytest.raises(NotImplementedError):
        space["second"](0)


@pytest.mark.parametrize("source", ["from helper import product", "(product, _) = (lambda a, b: a * b), 1", "import helper as product",
                                    "try:\n    pass\nfinally:\n    product = None", "%matplotlib inline\n!ls\nproduct: int = 5"])  # fmt: skip
def test_a_deleted_stub_stays_away_however_the_name_is_defined(handed_in, back, source):
    handed_in.cells.remove(cell_of(handed_in, "one-answer"))
    put(handed_in, "plain-2", new_code_cell(source))
    notebook, _, _ = back(handed_in)
    assert STUB not in [cell.source for cell in notebook.cells]


def test_a_deleted_answer_comes_back_before_all_that_was_written(handed_in, back):
    handed_in.cells.remove(cell_of(handed_in, "one-answer"))
    put(handed_in, "plain-0", new_code_cell("exec('def product(a, b):\\n    return a * b')"))
    notebook, remarks, space = back(handed_in)
    assert space["product"](3, 4) == 12
    assert [cell.source for cell in notebook.cells[:3]] == ["# Homework", SETUP, STUB]
    assert remarks == ["cell one-answer was deleted; it was put back"]


@pytest.mark.parametrize("make", [new_markdown_cell, new_raw_cell])
def test_an_answer_that_became_text_is_code_again(handed_in, back, make):
    place = handed_in.cells.index(cell_of(handed_in, "one-answer"))
    handed_in.cells[place] = marked(make(RIGHT), "one-answer", solution=True)
    assert back(handed_in)[2]["product"](3, 4) == 12


@pytest.mark.parametrize("make", [new_code_cell, new_raw_cell])
def test_a_written_answer_that_became_code_is_text_again(handed_in, back, make):
    place = handed_in.cells.index(cell_of(handed_in, "written"))
    handed_in.cells[place] = marked(make("Because: it is"), "written", grade=True, solution=True, points=2)
    notebook, remarks, _ = back(handed_in)
    assert cell_of(notebook, "written").source == "Because: it is"
    assert remarks == []


def test_a_written_answer_that_was_split_is_read_whole(handed_in, back):
    answer = cell_of(handed_in, "written")
    put(handed_in, "written", twin(answer, "Secondly, too."), twin(answer, "YOUR ANSWER HERE"))
    notebook, remarks, _ = back(handed_in)
    assert cell_of(notebook, "written").source == "Because.\n\nSecondly, too."
    assert remarks == ["cell written was split or copied: its 2 parts were put together"]


BESIDE = {
    "a new cell of text": new_markdown_cell("It is so since."),
    "a new cell of code, as Lab makes them": new_code_cell("It is so since the rows never mix."),
    "comments": new_code_cell("# It is so since."),
    "a string": new_code_cell('"""It is so since."""'),
    "a raw cell": new_raw_cell("It is so since."),
}


@pytest.mark.parametrize("cell", BESIDE.values(), ids=BESIDE)
@pytest.mark.parametrize("deleted", [True, False])
def test_own_text_beside_an_untouched_written_cell_waits_for_a_person(handed_in, back, cell, deleted):
    written = cell_of(handed_in, "written")
    put(handed_in, "written", copy.deepcopy(cell))
    written.source = "YOUR ANSWER HERE"
    if deleted:
        handed_in.cells.remove(written)
    notebook, remarks, _ = back(handed_in)
    assert cell_of(notebook, "written").source.endswith(cell.source)
    assert "cell written was left as it was; a person will read the text that stands elsewhere" in remarks


def test_an_answer_typed_into_the_question_waits_and_so_does_a_pasted_picture(handed_in, back):
    cell_of(handed_in, "written").source = "YOUR ANSWER HERE"
    question = next(cell for cell in handed_in.cells if cell.id == "plain-8")
    question.source += "\n\nBecause. ![drawn](attachment:x.png)"
    question.attachments = {"x.png": {"image/png": "aGk=", "text/html": "<b>"}, "y": {"image/svg+xml": "<svg>"}}
    written = cell_of(back(handed_in)[0], "written")
    assert written.source.endswith("Because. ![drawn](attachment:x.png)")
    assert "## Written question" not in written.source
    assert written.attachments == {"x.png": {"image/png": "aGk="}}


@pytest.mark.parametrize("own", [[], [new_code_cell("x = 1\nprint(x)"), new_code_cell(""), new_markdown_cell("---")]])
def test_without_a_word_of_the_students_own_nothing_waits(handed_in, back, own):
    for text in ("YOUR ANSWER HERE", ""):
        cell_of(handed_in, "written").source = text
        put(handed_in, "written", *copy.deepcopy(own))
        notebook, remarks, _ = back(handed_in)
        assert cell_of(notebook, "written").source == "YOUR ANSWER HERE"
        assert remarks == []


def test_the_set_up_is_run_first_and_unchanged_wherever_it_went(handed_in, back):
    setup = handed_in.cells.pop(1)
    for place in (0, 4, len(handed_in.cells)):
        moved = copy.deepcopy(handed_in)
        moved.cells.insert(place, copy.deepcopy(setup))
        notebook, remarks, space = back(moved)
        assert [cell.source for cell in notebook.cells].index(SETUP) == 1
        assert space["factor"] == 2
        assert remarks == []
    notebook, remarks, _ = back(handed_in)
    assert notebook.cells[1].source == SETUP
    assert remarks == ["a set-up cell was deleted; it was put back"]
    handed_in.cells.append(new_code_cell(f"import no_such_module\n{SETUP[:11]}\nfactor = 3"))
    handed_in.cells[-1].id = "plain-1"
    notebook, remarks, space = back(handed_in)
    assert notebook.cells[1].source == SETUP
    assert space["factor"] == 2
    assert remarks == ["the set-up cell was changed: it was run as it was handed out, and then as yours"]
    handed_in.cells[-1].source = "import math, statistics\nfactor = 3"
    assert back(handed_in)[2]["factor"] == 3


def test_an_answer_typed_into_a_test_cell_is_run_and_the_test_put_back(handed_in, back):
    cell_of(handed_in, "one-answer").source = STUB
    cell_of(handed_in, "one").source = RIGHT
    notebook, remarks, space = back(handed_in)
    assert "test cell one was changed; it was put back" in remarks
    assert space["product"](3, 4) == 12
    assert STUB not in [cell.source for cell in notebook.cells]


def test_copies_of_a_test_cell_go_and_an_edited_one_takes_no_points_along(handed_in, back):
    test = cell_of(handed_in, "one")
    put(handed_in, "one", twin(test, test.source), twin(test, "raise SystemExit"))
    notebook, remarks, _ = back(handed_in)
    assert remarks == []
    assert "raise SystemExit" not in [cell.source for cell in notebook.cells]


def test_nonsense_in_a_file_is_no_reason_to_stop(handed_in, back):
    cell_of(handed_in, "two").metadata.nbgrader.grade_id = ["two"]
    handed_in.cells[0].metadata["nbgrader"] = {"grade_id": {"a": 1}}
    handed_in.cells.append(new_code_cell("(" * 5000))
    handed_in.cells.append(new_code_cell("!ls\n" * 50_000))
    handed_in.cells.append(new_code_cell("\0"))
    handed_in.cells.append(new_markdown_cell(""))
    handed_in.cells[-1]["attachments"] = {"a": 1, "b": {"image/png": 5}}
    notebook, _, space = back(handed_in)
    assert space["product"](3, 4) == 12
    assert not any("attachments" in cell for cell in notebook.cells)
