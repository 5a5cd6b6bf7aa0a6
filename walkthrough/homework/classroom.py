"""The commands around a class: what students get, marks for a learning platform, questions for a talk."""

import argparse
from collections.abc import Callable
from pathlib import Path

from walkthrough.homework import names

COMMANDS = ("practice", "students", "export", "oral", "gradescope")


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Tell the parser of these commands; `add` makes one of a name, a text and positional arguments."""
    add("practice", "for self-learners: the assignments with their checks and without solutions; `homework` is the folder "
        "notebooks/homework, or the whole repository as one archive", "homework", "folder")  # fmt: skip
    students = add(
        "students", "make what students get: package, notebooks, released homeworks; searched for leaks", "course"
    )
    students.add_argument("notebooks", type=Path, help="the folder notebooks of walkthrough's repository")
    students.add_argument("folder", type=Path, help="a new folder; a zip of the same name is put beside it")
    export = add(
        "export", "write the marks into a table that Canvas or Moodle exported, to be imported there", "course"
    )
    export.add_argument("table", type=Path, help="Canvas's gradebook, Moodle's grading worksheet or gradebook, as CSV")
    export.add_argument("--assignment", action="append", help="only this one (may be given again)")
    export.add_argument("--names", type=Path, help="a CSV with the columns name and student, as for collect")
    export.add_argument("--column", action="append", default=[], metavar="OURS=THEIRS",
                        help="which column is meant, as in hw1='Homework 1 (123)'")  # fmt: skip
    export.add_argument(
        "--scale", action="store_true", help="convert marks where the platform's are out of another number"
    )
    export.add_argument("--unfinished", action="store_true", help="also marks whose written answers wait for a person")
    export.add_argument("--out", type=Path, help="the new file (default: in course/grades)")
    oral = add("oral", "three questions to each student, of their own run, with the answers", "course", "assignment")
    oral.add_argument("--student", help="only this one")
    gradescope = add("gradescope", "make an assignment's autograder for Gradescope", "course", "assignment")
    gradescope.add_argument("file", type=Path, help="the new zip")


def run(arguments: argparse.Namespace) -> None:
    """Do what the command line asks. Raises ValueError, with what was not done, if anything was left out."""
    if arguments.command in ("oral", "gradescope", "students"):
        names.check_course(arguments.course)
    match arguments.command:
        case "practice":
            from walkthrough.homework import practice

            practice.create(arguments.homework, arguments.folder)
            print(arguments.folder)
        case "students":
            from walkthrough.homework import students

            made = students.create(arguments.course, arguments.notebooks, arguments.folder)
            print(
                f"{arguments.folder} and {arguments.folder}.zip: {', '.join(made) or 'no homework is released'}; 0 leaks found"
            )
        case "export":
            export(arguments)
        case "oral":
            from walkthrough.homework import graded

            graded.released(arguments.course, arguments.assignment)
            graded.handed_in(arguments.course, arguments.assignment, arguments.student)
            from walkthrough.homework import oral

            for page in oral.write(arguments.course, arguments.assignment, arguments.student):
                print(page)
        case "gradescope":
            from walkthrough.homework import graded

            graded.released(arguments.course, arguments.assignment)
            if arguments.file.exists():
                raise ValueError(f"{arguments.file} is there already: give another name")
            from walkthrough.homework import gradescope

            print(gradescope.create(arguments.course, arguments.assignment, arguments.file))


def export(arguments: argparse.Namespace) -> None:
    """Marks into a platform's table; what could not be placed ends the command with 1."""
    unclear = [pair for pair in arguments.column if "=" not in pair]
    if unclear:
        raise ValueError(f"--column {unclear[0]} says not which: write as in --column hw1='Homework 1'")
    columns = dict(pair.split("=", 1) for pair in arguments.column)
    from walkthrough.homework import exporting

    file, done, missed = exporting.export(
        arguments.course, arguments.table, arguments.assignment, arguments.names, columns, arguments.scale,
        arguments.unfinished, arguments.out,
    )  # fmt: skip
    print("\n".join([*done, str(file)]))
    if missed:
        number = f"{len(missed)} mark{' is' if len(missed) == 1 else 's are'} not in the table"
        raise ValueError("\n".join([*missed, number]))
