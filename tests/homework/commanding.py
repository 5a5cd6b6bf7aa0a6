"""The teacher's commands, run in this process, as the command line would."""

import contextlib
import csv
import io
import sys
from unittest import mock

from walkthrough.homework import __main__ as commands


def run(*arguments):
    """The exit code of `python -m walkthrough.homework ...`, and all that it says."""
    said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    code, last = 0, ""
    line = mock.patch.object(sys, "argv", ["walkthrough.homework", *map(str, arguments)])
    with line, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            commands.main()
        except SystemExit as stopped:
            code, last = (stopped.code or 0, "") if not isinstance(stopped.code, str) else (1, stopped.code)
    return code, said.buffer.getvalue().decode() + last


def rows_of(folder, assignment="hw1"):
    """An assignment's grade table, by student."""
    with (folder / "grades" / f"{assignment}.csv").open(newline="", encoding="utf-8") as stored:
        return {row["student"]: row for row in csv.DictReader(stored)}
