"""An autograder for Gradescope: a zip with the course's package, one assignment's graders, and what runs them there.

Gradescope runs the grader in a container that is made for each submission, as root, and bubblewrap cannot make namespaces
in it. So a submission runs as another user of the container, in a process of its own: graders, secret and results belong to root and
nobody else may read them. What stays open: the network, and what any user of the container may see. Form of the zip and of the
results: gradescope-autograders.readthedocs.io, "Autograder Specifications" (setup.sh and run_autograder at its root; the submission in
/autograder/submission, with submission_metadata.json beside that folder; /autograder/results/results.json).
"""

import json
import os
import shutil
import signal
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat

from walkthrough.homework import sandbox, unboxed
from walkthrough.homework.judge import Judged, judge
from walkthrough.homework.names import check_assignment, mentions
from walkthrough.homework.restoring import grade_id
from walkthrough.homework.students import NOT_COPIED
from walkthrough.marks import RIGHT

SETUP = """#!/usr/bin/env bash
# Made by `python -m walkthrough.homework gradescope`. Runs once, as root, when Gradescope builds the image.
set -euo pipefail
python=$(command -v python3.13 || command -v python3.12 || command -v python3.11 || true)
if [ -z "$python" ]; then
  apt-get install -y python3.11 python3.11-venv || { echo "Choose an image with Python 3.11 or newer."; exit 1; }
  python=python3.11
fi
"$python" -m venv /opt/course || { apt-get install -y "$(basename "$python")-venv"; "$python" -m venv /opt/course; }
mkdir -p /opt/package && cp -r /autograder/source/package/. /opt/package/
/opt/course/bin/python -m pip install --no-cache-dir -c /opt/package/constraints.txt "/opt/package[course,homework]"
chmod -R go-rwx /autograder/source
mkdir -p /autograder/results && chmod 700 /autograder/results
"""
RUN = """#!/usr/bin/env bash
# Made by `python -m walkthrough.homework gradescope`. Runs for each submission, as root.
base="${AUTOGRADER:-/autograder}"
python="${COURSE_PYTHON:-/opt/course/bin/python}"
chmod 700 "$base/source" "$base/results" "$base/submission"
echo '{"score": 0, "output": "the grader failed: tell your teacher", "tests": []}' > "$base/results/results.json"
exec "$python" -m walkthrough.homework.gradescope "$base"
"""
NOBODY = 65534


def create(course: Path, assignment: str, file: Path) -> Path:
    """Write the autograder of a released assignment to a zip. Raises ValueError if it was not released, or the zip is there."""
    check_assignment(course, assignment)
    release = course / "release" / assignment / f"{assignment}.ipynb"
    repository = sandbox.PACKAGE.parent
    if not release.exists():
        raise ValueError(f"{assignment} was never released: `python -m walkthrough.homework release` comes first")
    if file.exists():
        raise ValueError(f"{file} is there already: give another name")
    missing = [name for name in ("pyproject.toml", "constraints.txt", "LICENSE") if not (repository / name).exists()]
    if missing:
        raise ValueError(
            f"run this from walkthrough's repository (installed with -e): {repository} holds no {missing[0]}"
        )
    with tempfile.TemporaryDirectory() as room:
        made = Path(room)
        shutil.copytree(sandbox.PACKAGE, made / "package" / "walkthrough", ignore=NOT_COPIED)
        for name in ("pyproject.toml", "constraints.txt", "LICENSE"):
            shutil.copy(repository / name, made / "package" / name)
        (made / "package" / "README.md").write_text("The course's package.\n", encoding="utf-8")
        shutil.copytree(course / "graders", made / "graders", ignore=NOT_COPIED)
        shutil.copy(release, made / f"{assignment}.ipynb")
        shutil.copy(course / "secret.txt", made / "secret.txt")
        (made / "assignment.txt").write_text(assignment, encoding="utf-8")
        (made / "setup.sh").write_text(SETUP, encoding="utf-8", newline="\n")
        (made / "run_autograder").write_text(RUN, encoding="utf-8", newline="\n")
        for name in ("setup.sh", "run_autograder"):
            (made / name).chmod(0o755)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
            for path in sorted(path for path in made.rglob("*") if path.is_file()):
                out.write(path, path.relative_to(made))
    file.chmod(0o600)
    return file


class Lowered(unboxed.Place):
    """A place for a process that runs as nobody, who owns nothing in the container; all that nobody runs ends with it."""

    def start(self, variables: Mapping[str, str]) -> dict[str, Any]:
        """What starts a process as nobody, in a folder of its own."""
        os.chown(self.folder, NOBODY, NOBODY)
        return super().start(variables) | {"user": NOBODY, "group": NOBODY, "extra_groups": []}

    def processes(self, most: int) -> int:
        """The limit counts nobody's processes, and there are no others of nobody's."""
        return most

    def end(self, leader: int) -> None:
        """End whatever nobody runs, marked or not."""
        super().end(leader)
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if process.stat().st_uid == NOBODY and self.alone:
                    os.kill(int(process.name), signal.SIGKILL)

    alone = False  # True in a container that was made for one submission


def submitted(folder: Path, assignment: str) -> Path:
    """The notebook that was handed in. Raises ValueError, for the student, if it is not clear which one that is."""
    found = [file for file in sorted(folder.rglob("*.ipynb")) if ".ipynb_checkpoints" not in file.parts]
    named = [file for file in found if mentions(file.stem, assignment)]
    if len(named or found) != 1:
        names = ", ".join(file.name for file in found) or "no notebook"
        raise ValueError(f"hand in one notebook, {assignment}.ipynb: {names} was handed in")
    return (named or found)[0]


def student_of(base: Path) -> str:
    """Who handed in, for the inputs: a group's members together; "" if Gradescope does not say."""
    with suppress(OSError, ValueError, AttributeError, TypeError):
        told = json.loads((base / "submission_metadata.json").read_text(encoding="utf-8"))
        return ",".join(sorted(str(user.get("email") or user.get("id")) for user in told["users"]))
    return ""


def results(judged: Judged, release: nbformat.NotebookNode, tasks: Mapping) -> dict[str, Any]:
    """Gradescope's results: a test for each task, written answers without a mark, and the remarks."""
    tests = []
    for cell in release.cells:
        label = grade_id(cell)
        if not label or not cell.metadata.nbgrader.get("grade"):
            continue
        points = cell.metadata.nbgrader.points
        if label in tasks:
            verdict = judged.verdicts.get(label)
            score = points if verdict and verdict.mark == RIGHT else 0
            tests.append({"name": f"{label} {tasks[label].name}", "score": score, "max_score": points,
                          "output": verdict.sentence if verdict else "not judged"})  # fmt: skip
        else:
            tests.append({"name": label, "score": 0, "max_score": 0,
                          "output": f"A person marks this answer: {points} points, which are not in this score."})  # fmt: skip
    return {"tests": tests, "output": "\n".join(judged.remarks), "stdout_visibility": "hidden"}


def main(base: Path) -> None:
    """Judge the submission under `base` (/autograder) and write its results, whatever happens."""
    from walkthrough.homework.course import tasks_of

    source, told = base / "source", {"score": 0, "output": "the grader failed: tell your teacher", "tests": []}
    try:
        if os.getuid() != 0:
            raise RuntimeError("the grader must run as root, so that a submission can run as another user")
        unboxed.Place, Lowered.alone = Lowered, base == Path("/autograder")
        assignment = (source / "assignment.txt").read_text(encoding="utf-8")
        release, tasks = nbformat.read(source / f"{assignment}.ipynb", 4), tasks_of(source, assignment)
        secret = (source / "secret.txt").read_text(encoding="utf-8").strip()
        with sandbox.without_bubblewrap():
            judged = judge(submitted(base / "submission", assignment), release, tasks, secret, student_of(base))
        told = results(judged, release, tasks)
    except ValueError as reason:
        told["output"] = str(reason)
    finally:
        (base / "results").mkdir(exist_ok=True)
        (base / "results" / "results.json").write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    import sys

    main(Path(sys.argv[1]))
