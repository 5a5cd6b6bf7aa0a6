"""What students see of an error is their own code and that of packages, and nothing of the teacher's machine."""

import sysconfig
from functools import partial
from pathlib import Path

import nbformat
import torch
from IPython.core.ultratb import VerboseTB

from walkthrough import homework
from walkthrough.exercises.check import as_tensor
from walkthrough.homework.believed import well_formed
from walkthrough.homework.names import check_assignment

REPOSITORY = str(Path(homework.__file__).resolve().parents[2])
PACKAGES = sysconfig.get_path("purelib")


def error_of(work):
    """What a kernel sends when this fails: IPython's own traceback, a frame an entry."""
    try:
        work()
    except Exception as error:
        frames = VerboseTB("nocolor", include_vars=False).structured_traceback(
            type(error), error, error.__traceback__, 0, 5
        )
        return nbformat.v4.new_output("error", ename=type(error).__name__, evalue=str(error), traceback=frames)
    raise AssertionError("nothing failed")


def test_frames_that_run_cells_are_left_out_and_packages_are_called_by_their_names():
    before = error_of(partial(check_assignment, Path("none"), "hw1"))
    assert any("homework/names.py" in line for line in before.traceback)
    (after,) = well_formed([before])
    assert "homework/names.py" not in str(after.traceback)
    assert "test_believed.py" in str(after.traceback)
    (after,) = well_formed([error_of(partial(as_tensor, torch.load))])
    assert "walkthrough/exercises/check.py" in str(after.traceback).replace("\\\\", "/")
    (after,) = well_formed([error_of(partial(torch.load, "none"))])
    assert "torch/serialization.py" in str(after.traceback).replace("\\\\", "/")
    for line in after.traceback:
        assert REPOSITORY not in line
        assert PACKAGES not in line


def test_an_error_without_frames_and_what_is_printed_name_no_place():
    lines = ["Traceback (most recent call last):\n",
             f"  File {PACKAGES}/IPython/core/interactiveshell.py:3490 in run_cell_async\n    code_ast = 1\n",
             "  Cell In[7], line 10\n    I think\n      ^\nSyntaxError: invalid syntax\n"]  # fmt: skip
    error = nbformat.v4.new_output("error", ename="SyntaxError", evalue="invalid", traceback=lines)
    printed = nbformat.v4.new_output(
        "stream", name="stderr", text=f"{PACKAGES}/torch/x.py:1: UserWarning in {PACKAGES} (2)"
    )
    value = nbformat.v4.new_output(
        "execute_result", data={"text/plain": f"'{REPOSITORY}/walkthrough/models.py', '/home/a/lib/site-packages/b.py'"}
    )
    error, printed, value = well_formed([error, printed, value])
    assert error.traceback == [lines[0], lines[2]]
    assert printed.text == "torch/x.py:1: UserWarning in site-packages (2)"
    assert value.data["text/plain"] == "'walkthrough/models.py', 'b.py'"
