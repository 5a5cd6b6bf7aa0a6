"""The notebooks' stored outputs are really compared: a wrong number or word must be noticed."""

import runpy
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).parent.parent
same_but_for_last_digits = runpy.run_path(str(ROOT / "conftest.py"))["same_but_for_last_digits"]
STATE = '<script type="application/json" id="wt-12ab-state">{"packed": "eJw"}</script>'
PICTURE = '<img src="data:image/png;base64,iVBOR/8=" width="320" alt="looks at “:”: 0.99"><p>looks at</p>'


@pytest.mark.parametrize(
    ("stored", "new", "same"),
    [
        ("loss 2.415", "loss 2.415", True),
        ("loss 2.415", "loss 2.416", True),
        ("loss 2.415", "loss 2.417", False),
        ("loss 2.415", "loss 2.42", False),
        ("loss -0.01", "loss 0.00", True),
        ("head 1", "head 2", False),
        ("loss 2.415", "cost 2.415", False),
        ("1:3 0.60", "1:4 0.60", False),
        ("0.1 0.2", "0.1", False),
        (f"<p>a</p>{STATE}", f"<p>a</p>{STATE.replace('eJw', 'xyz')}", True),
        (f"<p>a</p>{STATE}", f"<p>b</p>{STATE}", False),
        (f"<p>a</p>{PICTURE}", f"<p>a</p>{PICTURE.replace('iVBOR', 'xyz').replace('320', '321')}", True),
        (f"<p>a</p>{PICTURE}", f"<p>b</p>{PICTURE}", False),
        (PICTURE, PICTURE.replace("0.99", "0.97"), False),
    ],
)
def test_only_the_last_digit_of_a_fraction_may_differ(stored, new, same):
    assert same_but_for_last_digits(stored, new) is same


def run_nbval(tmp_path, source, printed):
    output = new_output("stream", name="stdout", text=printed)
    cell = new_code_cell(source, execution_count=1, outputs=[output] if printed else [])
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "one.ipynb")
    (tmp_path / "conftest.py").write_text((ROOT / "conftest.py").read_text(encoding="utf-8"), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--nbval",
        "--nbval-current-env",
        "one.ipynb",
    ]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8").returncode


def test_right_outputs_pass_and_wrong_ones_fail(tmp_path):
    assert run_nbval(tmp_path, "print('head', 3, f'{2 / 3:.3f}')", "head 3 0.667\n") == 0
    assert run_nbval(tmp_path, "print('head', 3, f'{2 / 3:.3f}')", "head 4 0.667\n") == 1
    assert run_nbval(tmp_path, "print('head', 3, f'{2 / 3:.3f}')", "head 3 0.677\n") == 1
    assert run_nbval(tmp_path, "assert 1 + 1 == 3", "") == 1
