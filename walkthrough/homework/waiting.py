"""What feedback pages say of an answer that nobody has read yet: that it waits, and not that it has no points."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.preprocessors import NbGraderPreprocessor

from walkthrough.homework.gradebook import grades_of

UNREAD = "Not marked yet: this answer waits for a person."
SCORE = r"Score: [\d.]+ / ([\d.]+)"


class Waiting(NbGraderPreprocessor):
    """Runs behind nbgrader's GetGrades: what was once said of another answer is not shown beside this one."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        """Put the sentence into each cell that waits."""
        told = resources["nbgrader"]
        waits = waiting(told["db_url"], told["assignment"], told["student"])
        for cell in nb.cells:
            mark = cell.metadata.get("nbgrader", {})
            if mark.get("grade_id") in waits and (mark.get("solution") or mark.get("task")):
                mark["comment"] = UNREAD
        return nb, resources


def waiting(url: str, assignment: str, student: str) -> dict[str, float]:
    """The cells of a submission that nobody has marked yet, and what each is worth; `url` is the gradebook's."""
    with Gradebook(url) as book:
        try:
            grades = grades_of(book.find_submission(assignment, student))
        except MissingEntry:
            return {}
        return {label: float(grade.max_score) for label, grade in grades.items() if grade.needs_manual_grade}


def say(url: str, assignment: str, pages: Sequence[Path]) -> None:
    """Write into feedback pages, in place of points, what waits."""
    for page in pages:
        waits = waiting(url, assignment, page.parts[-3])
        if waits:
            page.write_text(said(page.read_text("utf-8"), waits), encoding="utf-8")


def said(text: str, waits: dict[str, float]) -> str:
    """A page in which no answer that waits has a score, and the sum says that it is not the last word."""
    for label in map(re.escape, waits):
        listed, shown = rf'(<a href="#{label}">[^<]*</a> \(){SCORE}', rf'(<a name="{label}"></a>.*?){SCORE}'
        for pattern in (listed, shown):
            text = re.sub(pattern, r"\1not marked yet, of \2", text, count=1, flags=re.DOTALL)
    points = f"{sum(waits.values()):g}"
    more = "1 more point waits" if points == "1" else f"{points} more points wait"
    return re.sub(rf"(<h4>[^<]*\({SCORE})\)", rf"\1; {more} for a person)", text, count=1)
