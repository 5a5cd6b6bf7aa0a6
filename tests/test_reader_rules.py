"""The rules of `reader_rules` hold for the notebooks written for the reader; each catches a notebook that breaks it."""

import ast
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from reader_rules import (
    ENTRIES,
    EVERY,
    READER,
    anchor,
    code,
    exercises,
    function,
    solution,
)
from test_house_rules import NOTEBOOKS, package_definitions

from walkthrough.exercises import EXERCISES
from walkthrough.exercises.check import verdict

FIRST_EDITION = ()  # not yet rewritten for the reader
REWRITTEN = [path for path in NOTEBOOKS if path.stem[:2] not in FIRST_EDITION]
stem = lambda path: path.stem
name = lambda rule: rule.__name__


@pytest.mark.parametrize("rule", READER, ids=name)
@pytest.mark.parametrize("path", REWRITTEN, ids=stem)
def test_notebooks_are_written_for_the_reader(path, rule):
    assert rule(nbformat.read(path, 4)) == []


@pytest.mark.parametrize("rule", EVERY, ids=name)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=stem)
def test_every_notebook_describes_its_figures_and_links_its_terms(path, rule):
    assert rule(nbformat.read(path, 4)) == []


def test_no_two_figures_of_the_course_share_their_description():
    said = [
        output.metadata["image/png"]["alt"]
        for path in NOTEBOOKS
        for cell in code(nbformat.read(path, 4))
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(said) > 40
    assert sorted({alt for alt in said if said.count(alt) > 1}) == []


def exercises_of_the_course():
    for path in REWRITTEN:
        for label, (text, _) in exercises(nbformat.read(path, 4)).items():
            yield pytest.param(path, label, solution(text), id=label)


@pytest.mark.parametrize(("path", "label", "solved"), list(exercises_of_the_course()))
def test_each_solution_is_accepted_by_its_own_check_and_is_the_package_s_function(path, label, solved):
    known: dict = {}
    for cell in code(nbformat.read(path, 4)):
        if f'check("{label}"' in cell.source:
            break
        imports = [node for node in ast.parse(cell.source).body if isinstance(node, (ast.Import, ast.ImportFrom))]
        exec(ast.unparse(ast.Module(imports, [])), known)
    exec(solved, known)
    node = function(solved)
    assert (verdict(label, known[node.name]).mark, verdict(label, known[node.name]).sentence) == ("✓", "right")
    package = package_definitions().get(node.name)
    assert package is None or ast.dump(node) in package


def test_every_exercise_of_the_rewritten_notebooks_is_asked():
    asked = {label for path in REWRITTEN for label in exercises(nbformat.read(path, 4))}
    ours = {path.stem[:2].lstrip("0") or "0" for path in REWRITTEN}
    assert asked == {label for label in EXERCISES if label.partition(".")[0] in ours}


@pytest.mark.parametrize("term", ENTRIES)
def test_every_glossary_entry_links_to_the_notebook_that_introduces_it_and_back(term):
    links = re.findall(r"\]\((\d\d_\w+\.ipynb)\)", ENTRIES[term])
    assert links
    source = "\n".join(cell.source for cell in nbformat.read(NOTEBOOKS[0].parent / links[-1], 4).cells)
    assert f"](glossary.md#{anchor(term)})" in source


def test_the_glossary_is_in_order():
    assert list(ENTRIES) == sorted(ENTRIES, key=str.lower)
    assert len({anchor(term) for term in ENTRIES}) == len(ENTRIES)


STATISTIC = next(term for term, text in ENTRIES.items() if text.startswith("*Statistic.*"))
EXERCISE = "**Exercise 1.1: f** (easy, 5 minutes). Do it.\n\n" + "".join(
    f"<details><summary>{title}</summary>\n\n{text}\n\n</details>\n"
    for title, text in (("Hint 1", "a"), ("Hint 2", "b"), ("Solution", "```python\ndef f(x: int):\n    return x\n```"))
)
STUB = 'def f(x: int):\n    raise NotImplementedError\n\ncheck("1.1", f)'
END = (
    "## Recap\n\n1. a\n2. b\n3. c\n4. d\n5. e\n\n| a wrong reading | the right one |\n|---|---|\n| x | y |\n\n## Quiz\n\n"
    + "".join(f"**Question {i}.** Why?\n\n<details><summary>Answer</summary>\n\nSo.\n\n</details>\n" for i in (1, 2, 3))
    + "\n## Where next\n\n[on](x.ipynb)"
)


def figure(alt="a line that falls from the left to the right", **data):
    return new_output("display_data", {"image/png": "", **data}, metadata={"image/png": {"alt": alt}})


def rule_named(wanted):
    return next(rule for rule in (*READER, *EVERY) if rule.__name__ == wanted)


BROKEN = {
    "short_lines": [[new_code_cell("x = 1  # " + "x" * 92)]],
    "formulas_in_latex": [
        [new_markdown_cell(text)] for text in ("A ⊗ W", "1/√d_head", "x² of it", "W₁", "the λ of it")
    ],
    "whole_exercises": [
        [new_markdown_cell(EXERCISE.replace("easy, ", "")), new_code_cell(STUB)],
        [new_markdown_cell(EXERCISE.replace(": f", "")), new_code_cell(STUB)],
        [new_markdown_cell(EXERCISE.replace("Hint 2", "Hint")), new_code_cell(STUB)],
        [new_markdown_cell(EXERCISE.replace("Solution", "Answer")), new_code_cell(STUB)],
        [new_markdown_cell(EXERCISE.replace("x: int", "x")), new_code_cell(STUB)],
        [new_markdown_cell(EXERCISE), new_code_cell(STUB.replace("raise NotImplementedError", "return x"))],
        [new_markdown_cell(EXERCISE), new_code_cell("f(1)"), new_code_cell(STUB)],
        [new_code_cell('check("1.1", f)')],
    ],
    "a_drawing_before_formulas": [
        [new_markdown_cell("x")],
        [new_markdown_cell("$$x$$"), new_code_cell("figures.diagrams.head()")],
    ],
    "two_guesses": [[new_code_cell("widgets.Guess('a')\nwidgets.Guess('b').answer(1)")]],
    "a_proper_end": [
        [new_markdown_cell(END + "\n\n## More")],
        [new_markdown_cell(END.replace("5. e\n", ""))],
        [new_markdown_cell(END.replace("| a wrong reading", "| reading"))],
        [new_markdown_cell(END.replace("Answer", "See"))],
        [new_markdown_cell(END.replace("**Question 3.**", "3."))],
        [new_markdown_cell(END.replace("[on](x.ipynb)", "on"))],
    ],
    "statistics_defined_first": [
        [new_code_cell("f()", outputs=[new_output("stream", text=f"{STATISTIC}: 0.3")])],
        [new_code_cell("f()", outputs=[new_output("stream", text="0.3 ± 0.1")]), new_markdown_cell("standard error")],
        [new_code_cell("plot(label='KL')")],
    ],
    "described_figures": [
        [new_code_cell("f()", outputs=[figure("a figure")])],
        [new_code_cell("f()", outputs=[figure(), figure("another line that rises from left to right here")])],
        [new_code_cell("f()", outputs=[figure()]), new_code_cell("f()", outputs=[figure()])],
        [new_code_cell("f()", outputs=[new_output("display_data", {"image/png": ""})])],
    ],
    "glossary_links_lead_somewhere": [[new_markdown_cell("[x](glossary.md#nowhere)")], [new_markdown_cell("x")]],
}
SOUND = {
    "short_lines": [new_code_cell("x" * 100)],
    "formulas_in_latex": [new_markdown_cell("$A ⊗ W$ and `√` and\n```\nλ\n```\nand 3 × 4 – so")],
    "whole_exercises": [new_markdown_cell(EXERCISE), new_code_cell(STUB)],
    "a_drawing_before_formulas": [
        new_markdown_cell("$x$"),
        new_code_cell("figures.diagrams.head()"),
        new_markdown_cell("$$x$$"),
    ],
    "two_guesses": [
        new_code_cell("a, b = widgets.Guess('a'), widgets.Guess('b')"),
        new_code_cell("a.answer(1)\nb.answer(2)"),
    ],
    "a_proper_end": [new_markdown_cell("# T"), new_markdown_cell(END)],
    "statistics_defined_first": [
        new_markdown_cell(f"[**{STATISTIC}**](glossary.md#{anchor(STATISTIC)}), with its standard error, in nats"),
        new_code_cell("f()", outputs=[new_output("stream", text=f"{STATISTIC}: 0.3 ± 0.1 nats")]),
    ],
    "described_figures": [new_code_cell("f()", outputs=[figure()])],
    "glossary_links_lead_somewhere": [new_markdown_cell(f"[x](glossary.md#{anchor(STATISTIC)})")],
}


@pytest.mark.parametrize(("rule", "cells"), [(rule, cells) for rule, many in BROKEN.items() for cells in many])
def test_each_rule_catches_a_notebook_that_breaks_it(rule, cells):
    assert rule_named(rule)(new_notebook(cells=cells)) != []


@pytest.mark.parametrize("rule", SOUND)
def test_each_rule_lets_a_notebook_pass_that_keeps_it(rule):
    assert rule_named(rule)(new_notebook(cells=SOUND[rule])) == []


def test_all_rules_are_tried():
    assert set(BROKEN) == set(SOUND) == {rule.__name__ for rule in (*READER, *EVERY)}
