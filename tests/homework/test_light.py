"""What a command does not need, it does not import: who takes files in does not wait for torch."""

import subprocess
import sys

LIGHT = """
import os
import shutil
import sys
from walkthrough.homework import __main__ as commands

def run(*arguments):
    sys.argv = ["walkthrough.homework", *arguments]
    try:
        commands.main()
    except SystemExit as refusal:
        return str(refusal)

def loaded(*names):
    return [name for name in names if name in sys.modules and sys.modules[name] is not None]

said = [run("collect", "x", "hw1", ".")]
assert not loaded("torch", "nbgrader", "nbformat", "matplotlib"), loaded("torch", "nbgrader", "nbformat", "matplotlib")
os.makedirs("c/source/hw1"), os.makedirs("c/release/hw1"), os.makedirs("c/submitted/ann/hw1")
open("c/source/hw1/hw1.ipynb", "w").close(), open("there", "w").close(), open("c/nbgrader_config.py", "w").close()
slow = ("torch", "nbgrader", "nbformat", "matplotlib", "walkthrough.homework.sandbox")
said += [run(*command.split()) for command in (
    "grade c hw9", "grade c hw1", "oral c hw9", "oral c hw1", "gradescope c hw1 new.zip", "release c hw9", "feedback c hw9",
    "leaks c --wheel none", "export c none.csv", "export c there --column hw1")]
open("c/release/hw1/hw1.ipynb", "w").close()
said += [run(*command.split()) for command in (
    "grade c hw1 --student bob", "oral c hw1 --student bob", "gradescope c hw1 there")]
shutil.rmtree("c/submitted")
said += [run(*command.split()) for command in ("grade c hw1", "oral c hw1")]
assert not loaded(*slow), loaded(*slow)
assert commands.nursery.WORKERS.control is None
print(*map(repr, said), sep="\\n")
said += [run("leaks", "x")]
assert not loaded("torch", "nbgrader"), loaded("torch", "nbgrader")
said += [run(*command) for command in (("table", "x"), ("feedback", "x", "hw1"), ("release", "x", "hw1"), ("new", "x", "y"))]
assert not loaded("torch", "transformer_lens"), loaded("torch", "transformer_lens")
assert not loaded("rfc3987_syntax")
print(len(said), "commands,", len(list(filter(None, said))), "refusals")
"""


def test_torch_is_for_who_grades(tmp_path):
    ran = subprocess.run([sys.executable, "-c", LIGHT], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
    assert ran.stderr == ""
    assert ran.stdout.splitlines()[-1] == "21 commands, 21 refusals"
    assert "\\n" not in "".join(ran.stdout.splitlines()[:-1])
