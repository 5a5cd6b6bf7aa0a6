"""The teacher's commands: `python -m walkthrough.homework new | release | students | leaks | collect | grade | feedback |
table | export | oral | gradescope`, and the learner's: `practice`."""

import argparse
import contextlib
import sys
from pathlib import Path

from walkthrough.homework import classroom, nursery, unboxed


def parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    top = argparse.ArgumentParser(prog="python -m walkthrough.homework", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)

    def add(name: str, text: str, *arguments: str) -> argparse.ArgumentParser:
        """One command, with its positional arguments and plain options."""
        command = commands.add_parser(name, help=text, description=text)
        for argument in arguments:
            command.add_argument(argument, type=Path if argument in ("course", "homework", "files", "folder") else str)
        return command

    add("new", "make a course folder from notebooks/homework", "course", "homework")
    add("release", "make an assignment's version for students, and search it for leaks", "course", "assignment")
    leaks = add("leaks", "search what students get for solutions and hidden tests", "course")
    leaks.add_argument(
        "--wheel", type=Path, action="append", default=[], help="a wheel, archive or folder to search, too"
    )
    collect = add("collect", "take in a folder, or a learning platform's zip", "course", "assignment", "files")
    collect.add_argument("--names", type=Path, help="a CSV with the columns name, student and, if wanted, handed_in")
    collect.add_argument("--zone", help="of the platform's times, such as Europe/Berlin (default: this machine's)")
    grade = add("grade", "run and mark what was handed in, each in a sandbox", "course", "assignment", "--student")
    grade.add_argument("--workers", type=int, default=2, help="how many run at once (default 2)")
    grade.add_argument("--without-bubblewrap", action="store_true", help=f"only where bubblewrap cannot run, and for "
                       f"students whom you trust. {unboxed.DOES_NOT_PROTECT}. What stays: {unboxed.PROTECTS}")  # fmt: skip
    add("feedback", "write a feedback page for each student", "course", "assignment")
    add("table", "write the grade table of all assignments", "course")
    classroom.add_commands(add)
    return top


def main() -> None:
    """Run one command; what cannot be done is said in one sentence."""
    # At its import, jsonschema builds a grammar of international addresses for seconds, and nothing here checks any.
    sys.modules.setdefault("rfc3987_syntax", None)
    arguments = parser().parse_args()
    sys.stdout.reconfigure(errors="replace")  # names of students may be longer than the locale's alphabet
    try:
        run(arguments)
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in ("nbgrader", "nbformat", "sqlalchemy", "traitlets"):
            raise
        sys.exit('the homework extra is missing: python -m pip install -c constraints.txt -e ".[course,homework]"')
    except OSError as refusal:
        sys.exit(in_words(refusal))
    except (ValueError, RuntimeError) as refusal:
        sys.exit(str(refusal))


def in_words(error: OSError) -> str:
    """What the system refused, without its number."""
    if error.filename is None or not error.strerror:
        return str(error)
    return (
        f"there is no {error.filename}"
        if isinstance(error, FileNotFoundError)
        else f"{error.filename}: {error.strerror}"
    )


def take_in(arguments: argparse.Namespace) -> None:
    """`collect`, which imports nothing slow. It ends with 1 if a file is lost, and has then written nothing."""
    from datetime import datetime
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from walkthrough.homework import collect, intake

    try:
        zone = ZoneInfo(arguments.zone) if arguments.zone else None
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"there is no time zone {arguments.zone!r}: name it as in Europe/Berlin") from None
    fates = collect.collect(arguments.course, arguments.assignment, arguments.files, arguments.names, zone)
    for line in intake.report(arguments.assignment, fates, str(zone or datetime.now().astimezone().tzname())):
        print(line)
    if any(fate.fate == "lost" for fate in fates):
        raise ValueError("nothing was taken in, since files are lost: name them in a table (--names TABLE.csv, its first "
                         "line name,student), with whose they are, or with no student to leave them out")  # fmt: skip


def grade(arguments: argparse.Namespace) -> None:
    """`grade`. What forks the sandboxes' processes has as much to import as this one, and starts at the same time."""
    from walkthrough.homework import graded, names

    names.check_course(arguments.course)
    graded.released(arguments.course, arguments.assignment)
    graded.handed_in(arguments.course, arguments.assignment, arguments.student)
    boxed = not arguments.without_bubblewrap
    if boxed and not nursery.WORKERS.refused:
        with contextlib.suppress(OSError):
            nursery.WORKERS.begin()
    if not boxed:
        print(f"without bubblewrap: {unboxed.DOES_NOT_PROTECT}. What stays: {unboxed.PROTECTS}", file=sys.stderr)
    from walkthrough.homework import grading

    only = [arguments.student] if arguments.student else None
    judged = grading.grade(arguments.course, arguments.assignment, arguments.workers, only, boxed)
    print(f"{len(judged)} graded: {arguments.course / 'grades' / arguments.assignment}.csv")


def run(arguments: argparse.Namespace) -> None:
    """Do what the command line asks."""
    if arguments.command == "collect":
        return take_in(arguments)
    if arguments.command in classroom.COMMANDS:
        return classroom.run(arguments)
    if arguments.command == "grade":
        return grade(arguments)
    from walkthrough.homework import graded, names

    if arguments.command == "leaks":
        for place in arguments.wheel:
            if not place.exists():
                raise ValueError(f"there is no file or folder {place}")
        from walkthrough.homework import leaks

        return leaks.report(arguments.course, arguments.wheel)
    if arguments.command != "new":
        names.check_course(arguments.course)
    if arguments.command in ("release", "feedback"):
        names.check_assignment(arguments.course, arguments.assignment)
    from walkthrough.homework import course

    match arguments.command:
        case "new":
            made = course.create(arguments.course, arguments.homework)
            print(f"{arguments.course}: {', '.join(made)}")
        case "release":
            from walkthrough.homework import leaks

            print(course.release(arguments.course, arguments.assignment))
            leaks.report(arguments.course)
        case "feedback":
            pages = course.feedback(arguments.course, arguments.assignment)
            print(f"{len(pages)} page{'s' * (len(pages) != 1)} of feedback")
            missing = graded.not_graded(arguments.course, arguments.assignment)
            if missing:
                raise ValueError(graded.told(arguments.assignment, missing, "no page for "))
        case "table":
            print(course.table(arguments.course))
            for assignment in names.assignments_of(arguments.course):
                if missing := graded.not_graded(arguments.course, assignment):
                    print(graded.told(assignment, missing))


if __name__ == "__main__":
    main()
