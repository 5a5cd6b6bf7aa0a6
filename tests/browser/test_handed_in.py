"""A student's hands in JupyterLab: an answer split, another copied and improved, a written one retyped, the set-up moved."""

import driving
import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell

from walkthrough.homework.restoring import restored

STUBS = ("def first(x):\n    raise NotImplementedError", "def second(x):\n    raise NotImplementedError")


def assignment() -> nbformat.NotebookNode:
    """A set-up cell, two answers with a test each, and a written question, as nbgrader releases them."""
    plain = {"schema_version": 3, "task": False, "grade": False, "solution": False, "locked": False}
    parts = [
        (new_code_cell("factor = 2"), {}),
        (new_code_cell(STUBS[0]), {"grade_id": "one-answer", "solution": True}),
        (new_code_cell("assert first(1)"), {"grade_id": "one", "grade": True, "locked": True, "points": 1}),
        (new_code_cell(STUBS[1]), {"grade_id": "two-answer", "solution": True}),
        (new_code_cell("assert second(1)"), {"grade_id": "two", "grade": True, "locked": True, "points": 1}),
        (new_markdown_cell("YOUR ANSWER HERE"), {"grade_id": "written", "grade": True, "solution": True, "points": 2}),
    ]
    for cell, mark in parts:
        if mark:
            cell.metadata["nbgrader"], cell.id = plain | mark, mark["grade_id"]
        if mark.get("locked"):
            cell.metadata |= {"deletable": False, "editable": False}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=[cell for cell, _ in parts], metadata={"kernelspec": kernel})


def write(page, cell, text):
    """Click into a cell, and type over what is in it; stays in the cell."""
    page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)


def marks(page):
    """The cells' kinds and the names of their marks, as the page has them."""
    cells = driving.notebook(page).cells
    return [(cell.cell_type, cell.metadata.get("nbgrader", {}).get("grade_id")) for cell in cells]


def until(page, kinds):
    """Wait until the notebook's cells have these kinds and marks."""
    for _ in range(50):
        if marks(page) == kinds:
            return
        page.wait_for_timeout(100)
    assert marks(page) == kinds


def test_what_hands_do_in_jupyterlab_loses_no_answer(page, lab):
    release = assignment()
    nbformat.write(release, lab.root / "hands.ipynb")
    driving.open_notebook(page, lab, "hands")
    code, text = "code", "markdown"
    write(page, 1, "def first(x):\n    y = factor * x\n    return y / factor")
    page.keyboard.press("ArrowUp")  # the start of `return`: split within the function
    page.keyboard.press("End")
    page.keyboard.press("Control+Shift+Minus")
    first = [(code, None), (code, "one-answer"), (code, "one-answer"), (code, "one")]
    until(page, [*first, (code, "two-answer"), (code, "two"), (text, "written")])
    write(page, 4, "def second(x):\n    return 0")
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    page.keyboard.press("v")
    second = [(code, "two-answer"), (code, "two-answer"), (code, "two")]
    until(page, [*first, *second, (text, "written")])
    write(page, 5, "def second(x):\n    return factor * x")
    page.locator(".jp-Notebook .jp-Cell").nth(7).click()
    page.keyboard.press("Escape")
    page.keyboard.press("y")
    until(page, [*first, *second, (code, "written")])
    write(page, 7, "Because it is so.")
    page.locator(".jp-Notebook .jp-Cell").nth(0).locator(".cm-content").click()
    page.keyboard.press("Escape")
    page.keyboard.press("x")  # the set-up, cut, and pasted behind everything
    until(page, [*first[1:], *second, (code, "written")])
    page.locator(".jp-Notebook .jp-Cell").nth(6).locator(".cm-content").click()
    page.keyboard.press("Escape")
    page.keyboard.press("v")
    until(page, [*first[1:], *second, (code, "written"), (code, None)])
    driving.keep_picture(page, "handed_in")
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    for _ in range(50):
        if len(lab.read("hands").cells) == 8:
            break
        page.wait_for_timeout(100)
    notebook, remarks = restored(lab.read("hands"), release)
    space = {}
    for cell in notebook.cells:
        if cell.cell_type == code:
            exec(cell.source, space)
    assert (space["first"](3), space["second"](3)) == (3, 6)
    assert notebook.cells[0].source == "factor = 2"
    assert notebook.cells[-1].source == "Because it is so."
    assert notebook.cells[-1].cell_type == text
    assert [remark.partition(" was ")[0] for remark in remarks if "split or copied" in remark] == [
        "cell one-answer",
        "cell two-answer",
    ]
