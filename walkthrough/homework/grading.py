"""The teacher's step that takes longest: every submission of an assignment, judged in sandboxes, and entered."""

import contextlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import nbformat
from tqdm import tqdm

from walkthrough.homework import gradebook, sandbox, tables
from walkthrough.homework.course import tasks_of
from walkthrough.homework.judge import Judged, judge
from walkthrough.homework.names import check_assignment
from walkthrough.marks import RIGHT


def grade(
    folder: Path, assignment: str, workers: int = 2, students: Iterable[str] | None = None, bubblewrap: bool = True
) -> dict[str, Judged]:
    """Judge every submission of an assignment, each in a sandbox of its own, and enter the marks into the gradebook.

    Raises RuntimeError where no sandbox can be had, with nothing written; ValueError if nothing was handed in or
    released; and RuntimeError, with all other marks entered, if a submission could not be judged: its former mark stays.
    """
    folder = folder.resolve()  # nbgrader changes the working folder, and meanwhile files are read
    check_assignment(folder, assignment)
    released = folder / "release" / assignment / f"{assignment}.ipynb"
    if not released.exists():
        raise ValueError(f"{assignment} was never released: `python -m walkthrough.homework release` comes first")
    handed_in = sorted(path.parent.name for path in (folder / "submitted").glob(f"*/{assignment}"))
    chosen = handed_in if students is None else sorted(set(students) & set(handed_in))
    if not chosen:
        raise ValueError(f"nobody has handed in {assignment}: `python -m walkthrough.homework collect` comes first")
    notebook, tasks = nbformat.read(released, 4), tasks_of(folder, assignment)
    secret = (folder / "secret.txt").read_text(encoding="utf-8").strip()
    judged: dict[str, Judged] = {}
    failed: dict[str, str] = {}

    def one(student: str) -> Judged | str:
        """One student's submission, judged, or why it could not be; that must not stop the others."""
        file = folder / "submitted" / student / assignment / f"{assignment}.ipynb"
        try:
            return judge(file, notebook, tasks, secret, student)
        except Exception as error:
            return str(error) or type(error).__name__

    with contextlib.nullcontext() if bubblewrap else sandbox.without_bubblewrap():
        sandbox.check()  # no sandbox, no grading
        with ThreadPoolExecutor(workers) as pool:
            running = {pool.submit(one, student): student for student in chosen}
            for future in tqdm(as_completed(running), total=len(running), desc=assignment, unit="student"):
                student, result = running[future], future.result()
                if isinstance(result, str):
                    failed[student] = result
                    continue
                judged[student] = result
                if result.remarks:
                    text = "\n".join(
                        ["**What the grader noticed:**", "", *(f"- {remark}" for remark in result.remarks)]
                    )
                    result.notebook.cells.insert(0, nbformat.v4.new_markdown_cell(text))
                try:  # while the others run
                    gradebook.enter(folder, assignment, student, result.notebook)
                except (RuntimeError, ValueError, OSError) as error:
                    failed[student] = str(error)
    entered = {student: result for student, result in sorted(judged.items()) if student not in failed}
    if entered:
        tables.write_table(folder, assignment, {student: remarks(result) for student, result in entered.items()})
    if failed:
        reasons = "; ".join(f"{student}: {reason}" for student, reason in sorted(failed.items()))
        raise RuntimeError(
            f"{len(failed)} of {len(chosen)} could not be graded, keep the mark that they had, if any, and are to be graded "
            f"again; {len(entered)} graded ({reasons})"
        )
    return entered


def remarks(judged: Judged) -> str:
    """What the grade table says beside a student's marks."""
    wrong = [
        f"{judged.called(label)}: {v.sentence}"
        for label, v in judged.verdicts.items() if v.mark != RIGHT and v.sentence not in judged.remarks
    ]  # fmt: skip
    return " | ".join([*judged.remarks, *wrong])
