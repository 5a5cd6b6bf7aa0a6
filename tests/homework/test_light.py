"""What a command does not need, it does not import: who takes files in does not wait for torch."""

import subprocess
import sys

LIGHT = """
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
    assert ran.stdout.splitlines()[-1] == "6 commands, 6 refusals"
