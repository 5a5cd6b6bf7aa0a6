"""A course's folder, in nbgrader's layout, and the teacher's steps in it: release, feedback, table. `grading` grades.

nbgrader makes the releases, keeps the gradebook and writes the feedback; it never runs a submission: `judge` does.
"""

import importlib
import secrets
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from walkthrough.homework import graded, intake, listed, tables, waiting
from walkthrough.homework.gradebook import api, done
from walkthrough.homework.names import check_assignment
from walkthrough.homework.practice import to_copy

CONFIG = '''"""nbgrader's settings for this course: see the instructor's guide of `walkthrough`."""

import re
from urllib.parse import quote

from bleach import clean
from jinja2 import pass_context
from nbconvert.filters import markdown2html
from nbgrader.preprocessors import NbGraderPreprocessor

TAGS = """a b blockquote br code dd del details div dl dt em h1 h2 h3 h4 h5 h6 hr i img li ol p pre
    s span strong sub summary sup table tbody td th thead tr ul""".split()
ATTRIBUTES = {"*": ["class", "id"], "a": ["href", "title"], "img": ["alt", "src", "title"]}


@pass_context
def shown(context, source):
    """Markdown without anything that a browser could run, and with the pictures that were pasted into the cell."""
    pictures = []
    for name, kinds in (context.get("cell") or {}).get("attachments", {}).items():
        for kind in ("image/png", "image/jpeg", "image/gif"):
            if re.fullmatch(r"[A-Za-z0-9+/=\\s]+", kinds.get(kind, "")):
                for written in {name, quote(name)}:
                    source = source.replace(f"attachment:{written}", f"https://pasted.invalid/{len(pictures)}.")
                pictures.append(f"data:{kind};base64,{''.join(kinds[kind].split())}")
    html = clean(markdown2html(source.replace("attachment:", "missing-picture-")), TAGS, ATTRIBUTES)
    for number, picture in enumerate(pictures):
        html = html.replace(f'src="https://pasted.invalid/{number}."', f'src="{picture}"')
    return html


class NoSubmissionIsRunHere(NbGraderPreprocessor):
    def preprocess(self, nb, resources):
        raise RuntimeError("grade with `python -m walkthrough.homework grade`: nbgrader would run submissions unprotected")


c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "walkthrough"
c.Autograde.sanitize_preprocessors = c.Autograde.autograde_preprocessors = [NoSubmissionIsRunHere]
c.GenerateFeedback.preprocessors = [
    "nbgrader.preprocessors.ClearHiddenTests",
    "nbgrader.preprocessors.GetGrades",
    "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
]
# A submission's own HTML and scripts do not run in the reader's browser. (nbgrader's page does not clean markdown.)
c.HTMLExporter.sanitize_html = True
c.HTMLExporter.filters = {"markdown2html": shown}
'''


def create(folder: Path, homework: Path) -> list[str]:
    """A course folder from the course's `notebooks/homework`: sources, graders, settings and a new secret.

    Returns the assignments. Raises ValueError if the folder is in use, or `homework` holds no homework.
    """
    notebooks = to_copy(homework, folder)
    for notebook in notebooks:
        target = folder / "source" / notebook.stem
        target.mkdir(parents=True)
        shutil.copy(notebook, target)
    shutil.copytree(homework / "graders", folder / "graders", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")
    (folder / "secret.txt").write_text(secrets.token_hex(16) + "\n", encoding="utf-8")
    (folder / "secret.txt").chmod(0o600)
    return [notebook.stem for notebook in notebooks]


def tasks_of(folder: Path, assignment: str) -> Mapping[str, Any]:
    """The `Task`s of one assignment, from the course folder's own graders."""
    another = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "graders"}
    sys.path.insert(0, str(folder.resolve()))
    try:
        return importlib.import_module(f"graders.{assignment}").TASKS
    finally:
        sys.path.remove(str(folder.resolve()))
        for name in [name for name in sys.modules if name.partition(".")[0] == "graders"]:
            del sys.modules[name]
        sys.modules.update(another)  # two courses' graders must not meet


def release(folder: Path, assignment: str) -> Path:
    """The students' version of an assignment: without solutions, hidden tests, mark schemes and outputs."""
    nbgrader = api(folder)
    check_assignment(folder, assignment)
    done(nbgrader.generate_assignment(assignment), f"the release of {assignment}")
    return folder / "release" / assignment / f"{assignment}.ipynb"


def feedback(folder: Path, assignment: str) -> list[Path]:
    """One page of feedback for each graded student, `feedback/STUDENT/hw1/hw1.html`.

    Who has no marks of the file handed in last gets none, and an old one is taken away: `graded.not_graded` says who.
    """
    check_assignment(folder, assignment)
    missing = graded.not_graded(folder, assignment)
    there = {place.parent.name for place in (folder / "autograded").glob(f"*/{assignment}")}
    others = intake.left_out(folder, assignment) | missing.keys()
    for student in others:
        (folder / "feedback" / student / assignment / f"{assignment}.html").unlink(missing_ok=True)
    if there & missing.keys() and not there - others:
        raise ValueError(graded.told(assignment, missing, "no page for "))
    if not there - others:
        raise ValueError(f"{assignment} has not been graded yet: `python -m walkthrough.homework grade` comes first")
    tables.write_table(folder, assignment, {})
    nbgrader = api(folder)
    nbgrader.coursedir.student_id_exclude = ",".join(sorted(others))
    steps = nbgrader.config.GenerateFeedback.preprocessors
    nbgrader.config.GenerateFeedback.preprocessors = [*steps, "walkthrough.homework.waiting.Waiting"]
    done(nbgrader.generate_feedback(assignment), f"the feedback on {assignment}")
    pages = sorted((folder / "feedback").glob(f"*/{assignment}/{assignment}.html"))
    waiting.say(nbgrader.coursedir.db_url, assignment, pages)
    listed.name_tasks(folder / "release" / assignment / f"{assignment}.ipynb", pages)
    return pages


def table(folder: Path) -> Path:
    """All marks of all assignments as they are now, `grades/all.csv`, and each assignment's own table."""
    return tables.write_all(folder)
