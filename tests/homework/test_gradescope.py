"""The autograder for Gradescope, in a folder laid out as there: what runs as whom, what may be read, what comes out."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

from walkthrough.homework import gradescope, leaks

SPY = """
import os
found = []
for path in ("{source}/secret.txt", "{source}/graders/hw1.py", "{base}/submission/my hw1.ipynb"):
    try:
        found.append(open(path).read())
    except OSError:
        pass
for path in ("{base}/results/results.json", "{source}/assignment.txt"):
    try:
        open(path, "w").write("mine")
        found.append(path)
    except OSError:
        pass
answer = "five" if not found and os.getuid() != 0 else "spied"
"""


@pytest.fixture(scope="module")
def zipped(small_course, tmp_path_factory):
    """The autograder of the small course."""
    return gradescope.create(small_course, "hw1", tmp_path_factory.mktemp("gradescope") / "hw1.zip")


def test_the_zip_has_what_gradescope_asks_for_and_is_the_teachers(zipped, small_course):
    names = zipfile.ZipFile(zipped).namelist()
    assert {
        "setup.sh",
        "run_autograder",
        "secret.txt",
        "graders/hw1.py",
        "hw1.ipynb",
        "package/constraints.txt",
    } <= set(names)
    assert "package/walkthrough/homework/judge.py" in names
    assert zipped.stat().st_mode & 0o077 == 0
    for script in ("setup.sh", "run_autograder"):
        text = zipfile.ZipFile(zipped).read(script)
        assert text.startswith(b"#!/usr/bin/env bash\n")
        assert subprocess.run(["bash", "-n"], input=text, check=False).returncode == 0
        assert zipfile.ZipFile(zipped).getinfo(script).external_attr >> 16 & 0o111
    with pytest.raises(ValueError, match="is there already"):
        gradescope.create(small_course, "hw1", zipped)
    with pytest.raises(ValueError, match="there is no assignment"):
        gradescope.create(small_course, "hw9", zipped.with_name("x.zip"))
    assert any("teacher's own file" in found for found in leaks.search(small_course, [zipped]))


def nobody_can_be_had() -> bool:
    """Whether we are root, and not in a namespace of one user, as where `run.py` has unplugged the network."""
    if sys.platform != "linux" or os.getuid() != 0:
        return False
    import pwd  # not on Windows

    known = [line.split() for line in Path("/proc/self/uid_map").read_text("utf-8").splitlines()]
    return any(int(first) <= pwd.getpwnam("nobody").pw_uid < int(first) + int(count) for first, _, count in known)


@pytest.mark.skipif(
    not nobody_can_be_had(), reason="as in Gradescope's container, root must be able to start a process of `nobody`'s"
)
def test_a_submission_runs_as_nobody_who_can_read_no_grader_and_write_no_result(
    zipped, hand_in, right, box, tmp_path_factory
):
    base = tmp_path_factory.mktemp("autograder")
    base.chmod(0o755)
    for folder in ("source", "submission", "results"):
        (base / folder).mkdir()
    with zipfile.ZipFile(zipped) as packed:
        packed.extractall(base / "source")
    notebook = hand_in(**right | {"hw1_3_answer": SPY.format(source="/mnt/source", base="/mnt")})
    nbformat.write(notebook, base / "submission" / "my hw1.ipynb")
    (base / "submission_metadata.json").write_text('{"users": [{"email": "anna@example.org"}]}', encoding="utf-8")
    shutil.copy(base / "source" / "run_autograder", base)
    # Where Python is under a folder of root's own, nobody can read it: shown in an empty one, as a container would have it.
    python = Path(sys.base_prefix)
    closed = next((str(folder) for folder in reversed(python.parents) if not folder.stat().st_mode & 1), None)
    shown = closed and str(Path(closed, python.relative_to(closed).parts[0]))
    seen = ["--tmpfs", closed, "--ro-bind", shown, shown] if closed else []
    box = [
        "bwrap",
        "--bind",
        "/",
        "/",
        "--dev-bind",
        "/dev",
        "/dev",
        "--proc",
        "/proc",
        "--bind",
        str(base),
        "/mnt",
        *seen,
        "--cap-add",
        "ALL",
    ]
    env = os.environ | {"AUTOGRADER": "/mnt", "COURSE_PYTHON": sys.executable}
    ran = subprocess.run([*box, "bash", "/mnt/run_autograder"], env=env, capture_output=True, text=True, check=False)
    told = json.loads((base / "results" / "results.json").read_text("utf-8"))
    assert [(test["score"], test["max_score"]) for test in told["tests"]] == [(3, 3), (2, 2), (1, 1), (0, 0)], (
        told,
        ran.stderr[-3000:],
    )
    assert told["tests"][3]["output"] == "A person marks this answer: 2 points, which are not in this score."
    assert told["stdout_visibility"] == "hidden"
    scope: dict = {}
    exec(SPY.format(source=base / "source", base=base), scope)  # the same, as root
    assert scope["answer"] == "spied"
    assert len(scope["found"]) == 5


def test_who_handed_in_and_which_notebook(tmp_path):
    assert gradescope.student_of(tmp_path) == ""
    users = [{"email": "b@x"}, {"email": "a@x"}, {"id": 7}]
    (tmp_path / "submission_metadata.json").write_text(json.dumps({"users": users}), encoding="utf-8")
    assert gradescope.student_of(tmp_path) == "7,a@x,b@x"
    with pytest.raises(ValueError, match=r"no notebook was handed in"):
        gradescope.submitted(tmp_path, "hw1")
    for name in ("x.ipynb", "hw1 (2).ipynb"):
        (tmp_path / name).write_text("", encoding="utf-8")
    assert gradescope.submitted(tmp_path, "hw1").name == "hw1 (2).ipynb"
    (tmp_path / "hw1.ipynb").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match=r"hand in one notebook, hw1.ipynb"):
        gradescope.submitted(tmp_path, "hw1")


def test_a_failure_leaves_a_result_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(gradescope.os, "getuid", lambda: 1000)
    with pytest.raises(RuntimeError, match="must run as root"):
        gradescope.main(tmp_path)
    told = json.loads((tmp_path / "results" / "results.json").read_text("utf-8"))
    assert told == {"score": 0, "output": "the grader failed: tell your teacher", "tests": []}
