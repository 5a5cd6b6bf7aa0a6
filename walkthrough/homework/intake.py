"""Writing what `collect` chose into the course folder, and saying what became of every file."""

import csv
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from walkthrough.homework.archives import BROKEN
from walkthrough.homework.chosen import Fate, Handed
from walkthrough.homework.replaced import file_time, is_older, keep, rename, twice

LEDGER = ("student", "who", "file", "handed_in", "file_time", "collected", "person", "now")
FATES = ("lost", "taken", "older", "passed over")  # of a file that two students handed in, the first counts
MANY = 5  # files that one person handed in beside the notebook, and that are named one by one
AGAINST = " (if this one counts, say in a table when it was handed in)"
AS_NBGRADER = "%Y-%m-%d %H:%M:%S.%f UTC"


def read_ledger(folder: Path, assignment: str) -> dict[str, dict[str, str]]:
    """Who was taken in earlier under each student's id, from which file, handed in when: `collected/hw1.csv`.

    `file_time` is the file's own, in seconds; `person` is who the platform says it is; `now` is the id that this person's work has now, if it is another.
    """
    file = folder / "collected" / f"{assignment}.csv"
    if not file.exists():
        return {}
    with file.open(newline="", encoding="utf-8") as stored:
        return {row["student"]: row for row in csv.DictReader(stored)}


def left_out(folder: Path, assignment: str) -> set[str]:
    """The ids under which the gradebook may still have marks of an assignment that are another's by now."""
    return {student for student, row in read_ledger(folder, assignment).items() if row.get("now")}


def read_all(chosen: Mapping[str, Handed]) -> tuple[dict[str, bytes], list[Fate]]:
    """The bytes of each student's notebook, all before anything is written; and those that cannot be read."""
    content, unreadable = {}, []
    for student, (found, _) in chosen.items():
        try:
            content[student] = found.read()
        except BROKEN as error:
            unreadable.append(Fate(found.name, "lost", f"it cannot be read ({error})", student))
    return content, unreadable


def take(
    folder: Path,
    assignment: str,
    chosen: Mapping[str, Handed],
    content: Mapping[str, bytes],
    times: Mapping[str, datetime],
    ledger: dict[str, dict[str, str]],
) -> dict[str, Fate]:
    """Write each student's notebook, the time that it was handed in, and the ledger; and say so for each student.

    `times` go before a platform's own. Without any, an earlier `timestamp.txt` stays if the notebook is the same. An older
    file replaces nothing; what a newer one replaces is kept.
    """
    fates = {}
    for student, (found, claim) in chosen.items():
        told = [
            rename(folder, assignment, other, student, ledger)
            for other in twice(folder, assignment, student, found, claim, content[student], ledger)
        ]
        when, earlier = times.get(student, claim.handed_in), ledger.get(student, {})
        target = folder / "submitted" / student / assignment
        file, stamp, modified = target / f"{assignment}.ipynb", target / "timestamp.txt", found.modified
        changed = not file.exists() or file.read_bytes() != content[student]
        if file.exists() and (changed or when) and is_older(when, found, earlier, file):
            before = earlier.get("handed_in") or f"{datetime.fromtimestamp(file_time(earlier, file)):%Y-%m-%d %H:%M}"
            why = f"one of {before} was taken in before, and stays" + AGAINST * (when is None)
            fates[student] = Fate(found.name, "older", why, student, "; ".join(told))
            continue
        target.mkdir(parents=True, exist_ok=True)
        if changed and file.exists():
            told.append(
                f"replaced what was collected {on(earlier)}, which is kept as {keep(folder, assignment, student, earlier)}"
            )
        elif file.exists():
            modified = max(modified, file_time(earlier, file))
        replace_file(file, content[student], modified)
        if when:
            replace_file(stamp, when.astimezone(UTC).strftime(AS_NBGRADER).encode(), modified)
        elif changed:
            stamp.unlink(missing_ok=True)
        known = when.astimezone(UTC).isoformat(" ", "seconds") if when else ""
        collected = f"{datetime.now():%Y-%m-%d %H:%M}" if changed else earlier.get("collected", "")
        line = (student, claim.who, found.name, known, f"{modified:.0f}", collected, claim.person, "")
        ledger[student] = dict(zip(LEDGER, line, strict=True))
        late = "late, by the platform" if claim.late else ""
        fates[student] = Fate(found.name, "taken", f"handed in {known}" if known else late, student, "; ".join(told))
    write_ledger(folder / "collected" / f"{assignment}.csv", ledger)
    return fates


def on(earlier: Mapping[str, str]) -> str:
    """When something was collected, if the ledger says so."""
    return f"on {earlier['collected']}" if earlier.get("collected") else "before"


def replace_file(file: Path, content: bytes, modified: float) -> None:
    """Write a file in one step, so that an interruption leaves the old one or the new one."""
    written = file.with_name(f".{file.name}.new")
    written.write_bytes(content)
    if modified > 0:
        os.utime(written, (modified, modified))
    written.replace(file)


def write_ledger(file: Path, ledger: Mapping[str, dict[str, str]]) -> None:
    """The ledger, in the order of the students."""
    file.parent.mkdir(exist_ok=True)
    with file.open("w", newline="", encoding="utf-8", errors="replace") as out:
        writer = csv.DictWriter(out, LEDGER)
        writer.writeheader()
        writer.writerows(ledger[student] for student in sorted(ledger))


def counts(fates: Iterable[Fate]) -> dict[str, int]:
    """How many files were found, and how many met each fate; their sum is the first number."""
    met: dict[str, set[str]] = defaultdict(set)
    for fate in fates:
        met[fate.file].add(fate.fate)
    first = [min(all_of_it, key=FATES.index) for all_of_it in met.values()]
    return {"found": len(first)} | {fate: first.count(fate) for fate in FATES}


def report(assignment: str, fates: list[Fate], zone: str) -> list[str]:
    """What to print: the files that were not taken, with the reason; what was replaced; late ones; and the counts."""
    lines = list(getattr(fates, "notes", ()))
    lines += [f"{fate.fate}: {fate.file}: {fate.why}" for fate in fates if fate.fate in ("lost", "older")]
    lines += [f"{fate.student}: {fate.told}" for fate in fates if fate.told]
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    for fate in fates:
        if fate.fate == "passed over":
            alike[fate.student, fate.why].append(fate.file)
    for (_, why), files in alike.items():
        names = f"{files[0]} and {len(files) - 1} more" if len(files) > MANY else ", ".join(files)
        lines.append(f"passed over: {names}: {why}")
    taken = [fate for fate in fates if fate.fate == "taken"]
    lines += [
        f"late: {fate.student}: its platform says so, not how late" for fate in taken if fate.why.startswith("late")
    ]
    number = counts(fates)
    shown = {"taken": "could be taken" if number["lost"] else "taken", "older": "older", "passed over": "passed over"}
    told = ", ".join(f"{number[fate]} {shown.get(fate, fate)}" for fate in ("taken", "older", "passed over", "lost"))
    lines.append(f"{assignment}: {number['found']} files found: {told}")
    timed = sum(fate.why.startswith("handed in") for fate in taken)
    if number["lost"]:
        return lines
    lines.append(f"students: {len(taken)}; the time handed in is known of {timed} (without a zone, read as {zone})")
    return lines
