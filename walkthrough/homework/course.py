"""A course's folder, in nbgrader's layout, and the teacher's steps in it: release, grade, feedback, table.

nbgrader makes the releases, keeps the gradebook and writes the feedback; it never runs a submission: `judge` does.
"""

import csv
import importlib
import os
import re
import secrets
import shutil
import sys
import warnings
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook
from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from nbgrader.plugins.export import CsvExportPlugin
from sqlalchemy.exc import SAWarning
from tqdm import tqdm
from traitlets.config import Config, PyFileConfigLoader

from walkthrough.exercises.check import RIGHT
from walkthrough.homework import sandbox
from walkthrough.homework.judge import Judged, judge, unjudged
from walkthrough.homework.names import check_assignment
from walkthrough.homework.practice import to_copy
from walkthrough.homework.task import Task

CONFIG = '''"""nbgrader's settings for this course: see the instructor's guide of `walkthrough`."""

from bleach import clean
from nbconvert.filters import markdown2html
from nbgrader.preprocessors import NbGraderPreprocessor

TAGS = """a b blockquote br code dd del details div dl dt em h1 h2 h3 h4 h5 h6 hr i img li ol p pre
    s span strong sub summary sup table tbody td th thead tr ul""".split()
ATTRIBUTES = {"*": ["class", "id"], "a": ["href", "title"], "img": ["alt", "src", "title"]}


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
c.HTMLExporter.filters = {"markdown2html": lambda source: clean(markdown2html(source), TAGS, ATTRIBUTES)}
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


def api(folder: Path, **course_directory: str) -> NbGraderAPI:
    """nbgrader, for this folder. Raises ValueError if it is not a course folder."""
    if not (folder / "nbgrader_config.py").exists():
        raise ValueError(f"{folder} is not a course folder: make one with `python -m walkthrough.homework new`")
    scripts = str(Path(sys.executable).parent)  # nbgrader calls `alembic` by name, also where no venv is activated
    if scripts not in os.environ["PATH"].split(os.pathsep):
        os.environ["PATH"] = scripts + os.pathsep + os.environ["PATH"]
    config: Config = PyFileConfigLoader("nbgrader_config.py", path=str(folder)).load_config()
    config.CourseDirectory.root = str(folder.resolve())
    config.CourseDirectory.update(course_directory)
    if course_directory:  # judged notebooks: nbgrader reads their marks, and runs nothing
        names = {"sanitize": ("DeduplicateIds", "OverwriteCells", "CheckCellMetadata"),
                 "autograde": ("LimitOutput", "SaveAutoGrades", "AssignLatePenalties", "CheckCellMetadata")}  # fmt: skip
        for step, kept in names.items():
            config.Autograde[f"{step}_preprocessors"] = [f"nbgrader.preprocessors.{name}" for name in kept]
    return NbGraderAPI(coursedir=CourseDirectory(config=config), config=config)


def done(result: dict, what: str) -> None:
    """Raise RuntimeError if a step of nbgrader's failed, with the error that it logged."""
    if not result["success"]:
        log = f"{result.get('log', '')}\n{result.get('error', '')}"
        said = re.findall(r"^ *\w+(?:Error|Exception): .+", log, re.MULTILINE) or log.strip().splitlines()[-1:]
        raise RuntimeError(f"{what} failed: {said[0].strip() if said else 'nbgrader did not say why'}")


def tasks_of(folder: Path, assignment: str) -> Mapping[str, Task]:
    """The tasks of one assignment, from the course folder's own graders."""
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


def grade(folder: Path, assignment: str, workers: int = 2, students: Iterable[str] | None = None) -> dict[str, Judged]:
    """Judge every submission of an assignment, each in a sandbox of its own, and enter the marks into the gradebook.

    Raises RuntimeError where no sandbox can be had, and ValueError if nothing was handed in or released.
    """
    check_assignment(folder, assignment)
    released = folder / "release" / assignment / f"{assignment}.ipynb"
    if not released.exists():
        raise ValueError(f"{assignment} was never released: `python -m walkthrough.homework release` comes first")
    handed_in = sorted(path.parent.name for path in (folder / "submitted").glob(f"*/{assignment}"))
    chosen = handed_in if students is None else sorted(set(students) & set(handed_in))
    if not chosen:
        raise ValueError(f"nobody has handed in {assignment}: `python -m walkthrough.homework collect` comes first")
    sandbox.box()  # no sandbox, no grading
    notebook, tasks = nbformat.read(released, 4), tasks_of(folder, assignment)
    secret = (folder / "secret.txt").read_text(encoding="utf-8").strip()
    judged: dict[str, Judged] = {}
    failed: list[str] = []

    def one(student: str) -> Judged:
        """One student's submission, judged; a fault of the grader's own must not stop the others."""
        file = folder / "submitted" / student / assignment / f"{assignment}.ipynb"
        try:
            return judge(file, notebook, tasks, secret, student)
        except Exception as error:
            return unjudged(notebook, tasks, f"the grader failed ({error}): this is no mark, grade {student} again")

    with ThreadPoolExecutor(workers) as pool:
        running = {pool.submit(one, student): student for student in chosen}
        for future in tqdm(as_completed(running), total=len(running), desc=assignment, unit="student"):
            judged[running[future]] = future.result()
    warnings.simplefilter("ignore", SAWarning)  # nbgrader 0.9 was written for an older SQLAlchemy
    for student, result in sorted(judged.items()):
        target = folder / "judged" / student / assignment / f"{assignment}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        if result.remarks:
            text = "\n".join(["**What the grader noticed:**", "", *(f"- {remark}" for remark in result.remarks)])
            result.notebook.cells.insert(0, nbformat.v4.new_markdown_cell(text))
        nbformat.write(result.notebook, target)
        entered = api(folder, submitted_directory="judged").autograde(assignment, student)
        if not entered["success"]:
            failed.append(student)
    write_table(folder, assignment, {student: result for student, result in judged.items() if student not in failed})
    if failed:
        raise RuntimeError(f"nbgrader could not enter the marks of {', '.join(failed)}; all others are entered")
    return dict(sorted(judged.items()))


def write_table(folder: Path, assignment: str, judged: Mapping[str, Judged]) -> None:
    """`grades/hw1.csv`: for each student, points for each task, the total, what still waits for a person, remarks."""
    (folder / "grades").mkdir(exist_ok=True)
    file = folder / "grades" / f"{assignment}.csv"
    rows: dict[str, dict[str, str]] = {}
    if file.exists():
        with file.open(newline="", encoding="utf-8") as stored:
            rows = {row["student"]: row for row in csv.DictReader(stored)}
    with Gradebook(api(folder).coursedir.db_url) as book:
        for student, result in judged.items():
            submission = book.find_submission(assignment, student)
            grades = [grade for notebook in submission.notebooks for grade in notebook.grades]
            row = {"student": student}
            row |= {grade.name: "waits" if grade.needs_manual_grade else f"{grade.score:g}" for grade in grades}
            row |= {"total": f"{submission.score:g}", "of": f"{submission.max_score:g}"}
            wrong = [
                f"{label}: {v.sentence}"
                for label, v in result.verdicts.items() if v.mark != RIGHT and v.sentence not in result.remarks
            ]  # fmt: skip
            rows[student] = row | {"remarks": " | ".join([*result.remarks, *wrong])}
    columns = list(max(rows.values(), key=len))
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, columns)
        writer.writeheader()
        writer.writerows(rows[student] for student in sorted(rows))


def feedback(folder: Path, assignment: str) -> list[Path]:
    """One page of feedback for each graded student, `feedback/STUDENT/hw1/hw1.html`."""
    check_assignment(folder, assignment)
    if not list((folder / "autograded").glob(f"*/{assignment}")):
        raise ValueError(f"{assignment} has not been graded yet: `python -m walkthrough.homework grade` comes first")
    done(api(folder).generate_feedback(assignment), f"the feedback on {assignment}")
    return sorted((folder / "feedback").glob(f"*/{assignment}/{assignment}.html"))


def table(folder: Path) -> Path:
    """All marks of all assignments, as nbgrader exports them: `grades/all.csv`."""
    nbgrader = api(folder)
    file = folder / "grades" / "all.csv"
    file.parent.mkdir(exist_ok=True)
    exporter = CsvExportPlugin(config=nbgrader.config)
    exporter.to = str(file)
    with Gradebook(nbgrader.coursedir.db_url) as book:
        exporter.export(book)
    return file
