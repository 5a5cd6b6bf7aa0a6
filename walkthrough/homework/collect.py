"""What students handed in, from a folder or a learning platform's zip, into the course folder: all of it, or nothing."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from walkthrough.homework.archives import BROKEN, Found, found
from walkthrough.homework.chosen import ARCHIVES, Fate, Handed, could_be_work, decide
from walkthrough.homework.intake import read_all, read_ledger, take
from walkthrough.homework.names import (
    Row,
    Table,
    assignments_of,
    check_assignment,
    folded,
    is_notebook,
    mentions,
    named_for,
    read_table,
    student_id,
)  # fmt: skip
from walkthrough.homework.plain import Folders
from walkthrough.homework.platforms import METADATA, Claim, Export, placed
from walkthrough.homework.replaced import twice

NOISE = (".ds_store", "thumbs.db", "desktop.ini", "__macosx", ".ipynb_checkpoints", ".git", "__pycache__")
UNCLEAR = "{} and {} would both be the student {}: say in a table (--names) who is who"


def collect(
    folder: Path, assignment: str, handed_in: Path, names: Path | None = None, zone: tzinfo | None = None
) -> list[Fate]:
    """Take each student's newest notebook into `submitted/`, or none at all if one is lost or it is not clear whose it is.

    A platform's time goes into `timestamp.txt`, as nbgrader writes it, in UTC; times without a zone are read in `zone`,
    else this machine's. `collected/hw1.csv` keeps who was taken in under which id, so that no later one comes under the
    same. Returns what became of every file. Raises ValueError for what is no course, assignment, folder, zip or table.
    """
    check_assignment(folder, assignment)
    if handed_in.resolve() == folder.resolve():
        raise ValueError(f"{folder} is the course folder itself: give the folder or zip with what was handed in")
    zone = zone or datetime.now().astimezone().tzinfo or UTC
    files = list(found(handed_in, folder))
    if not files:
        raise ValueError(f"there is no file in {handed_in}: give the folder or zip with what was handed in")
    table = read_table(names, zone) if names else Table()
    others = [other for other in assignments_of(folder) if other != assignment]
    work, fates = sort(files, assignment, table, zone, others)
    forced = {file.name for file in files if folded(file.name) in table}
    ledger = read_ledger(folder, assignment)
    chosen: dict[str, Handed] = {}
    there = {path.name.lower(): path.name for path in (folder / "submitted").glob("*")}
    for pairs in work.values():
        student, problem = the_student(pairs, there, ledger)
        if problem:
            fates += [Fate(f.name, "lost" if could_be_work(f) else "passed over", problem, student) for f, _ in pairs]
            continue
        one, more = decide(student, pairs, assignment, others, forced)
        fates += more
        if one:
            chosen[student] = one
    content, bad = read_all(chosen)
    bad += renamed(folder, assignment, chosen, content, ledger)
    fates = [fate for fate in fates if fate.file not in {fate.file for fate in bad}] + bad
    if all(fate.fate != "lost" for fate in fates):
        times = {row.student: row.handed_in for row in table.values() if row.handed_in}
        taken = take(folder, assignment, chosen, content, times, ledger)
        fates = [taken.get(fate.student, fate) if fate.fate == "taken" else fate for fate in fates]
    all_of_it = Fates(sorted(fates, key=lambda fate: (fate.fate, fate.file, fate.student)))
    all_of_it.notes = table.unused()
    return all_of_it


class Fates(list[Fate]):
    """What became of every file; `notes` are sentences on what is not a file's fate."""

    notes: Sequence[str] = ()


def renamed(
    folder: Path, assignment: str, chosen: Mapping[str, Handed], content: Mapping[str, bytes],
    ledger: Mapping[str, dict[str, str]],
) -> list[Fate]:  # fmt: skip
    """Those who had another name earlier and have this one by no table: lost, since nobody has said so."""
    fates = []
    for student, (file, claim) in chosen.items():
        if student in content and not claim.who.startswith("table "):
            for other in twice(folder, assignment, student, file, claim, content[student], ledger)[:1]:
                why = (
                    f"the same was taken in earlier as {other}: give the table again (--names), or say there who it is"
                )
                fates.append(Fate(file.name, "lost", why, student))
    return fates


def sort(
    files: Sequence[Found], assignment: str, table: Table, zone: tzinfo, others: Sequence[str]
) -> tuple[dict[str, list[Handed]], list[Fate]]:
    """Files by the student's id that their names or the table give them, in lower case; and what became of the rest."""
    work: dict[str, list[Handed]] = defaultdict(list)
    fates: list[Fate] = []
    noise = {f.name for f in files if any(p.lower() in NOISE or p.startswith("._") for p in f.name.split("/"))}
    fates += [Fate(name, "passed over", "it is the computer's, not a student's") for name in sorted(noise)]
    files = [file for file in files if file.name not in noise]
    told = files_of_platforms(files)
    export = Export(told, [file.name for file in files], zone)
    loose = [file.name for file in files if not placed(file.name)]
    plain = Folders(loose, assignment).claims(loose)
    for file in files:
        claims = export.claims(file.name) or [plain.get(file.name, f"{METADATA} does not say whose it is")]
        rows = [said(table, file.name, claim) for claim in claims]
        for claim, row in zip(claims, rows, strict=True):
            if row and not row.student:
                fates.append(Fate(file.name, "passed over", "the table leaves it out"))
                continue
            if row and isinstance(claim, str):
                claim = Claim(row.student, "", "", (), file.name.rpartition("/")[2], timed=True)
            person = "" if isinstance(claim, str) else claim.who
            if row:
                claim = replace(claim, student=row.student, who=f"table {row.student}", scope="")
            if isinstance(claim, str):
                fates.append(nobodys(file, claim, assignment, others, file.name in told))
            elif claim.slot not in ("", assignment):
                fates.append(Fate(file.name, "passed over", f"it was handed in for {claim.slot}"))
            elif not student_id(claim.student):
                fates.append(Fate(file.name, "lost", f"no student's id can be made of {claim.student!r}: use a table"))
            else:
                work[student_id(claim.student).lower()].append((file, replace(claim, person=person)))
    there = {place[0] + (place[2]["name"] or "") for place in map(placed, (file.name for file in files)) if place}
    missing = sorted(set(export.metadata) - there)
    return work, fates + [Fate(key, "lost", f"{METADATA} names it, and it is not there") for key in missing]


def files_of_platforms(files: Sequence[Found]) -> dict[str, bytes]:
    """What platforms say of an export in files of their own: Blackboard's receipts, Gradescope's list."""
    told = {}
    for file in files:
        place = placed(file.name)
        if place[2]["receipt"] if place else file.name.rpartition("/")[2] == METADATA:
            with suppress(*BROKEN):
                told[file.name] = file.read()
    return told


def said(table: Table, path: str, claim: Claim | str) -> Row | None:
    """What the table says of a file: of its path first, of a folder that it is in, then of a person."""
    parts = path.split("/")
    keys = ["/".join(parts[:i]) for i in range(len(parts), 0, -1)]
    keys += [] if isinstance(claim, str) else [*filter(None, claim.called), claim.student]
    return table.about(keys)


def nobodys(file: Found, why: str, assignment: str, others: Sequence[str], read: bool = False) -> Fate:
    """What becomes of a file of which it is not known whose it is: lost, if it may be somebody's homework.

    `read` is one that a platform wrote about the others.
    """
    name = file.name.rpartition("/")[2]
    other = next((other for other in others if mentions(name, other)), None)
    if other and not mentions(name, assignment):
        return Fate(file.name, "passed over", f"it is {other}")
    named = named_for(name, assignment, r"(?:\.\w+)*") is not None
    work = named or is_notebook(name) or name.lower().endswith(ARCHIVES)
    why = why if work else "it was read for who is who" if read else "it is no notebook"
    return Fate(file.name, "lost" if work else "passed over", file.refused or why)


def the_student(
    pairs: Sequence[Handed], there: Mapping[str, str], ledger: Mapping[str, dict[str, str]]
) -> tuple[str, str]:
    """The id of those whose files these are, and what speaks against their being one person, now and earlier.

    `there` are the ids in use, by their lower case, and `ledger` says whose they are.
    """
    student = student_id(pairs[0][1].student)
    people = {(claim.scope, claim.who): f"“{claim.scope}{claim.student}” ({claim.who})" for _, claim in pairs}
    earlier, who = ledger.get(student, {}).get("who", ""), pairs[0][1].who
    if len(people) > 1:
        return student, UNCLEAR.format(*sorted(people.values())[:2], student)
    if there.get(student.lower(), student) != student:
        return student, UNCLEAR.format(f"“{student}”", f"the “{there[student.lower()]}” taken in earlier", student)
    if earlier not in ("", who) and not who.startswith("table "):
        return student, UNCLEAR.format(*people.values(), f"the {earlier!r} taken in earlier", student)
    return student, ""
