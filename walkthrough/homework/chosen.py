"""Which of the files that one person handed in is the homework, and what becomes of the others."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from walkthrough.homework.archives import BROKEN, Found
from walkthrough.homework.names import is_notebook, mentions
from walkthrough.homework.platforms import Claim

WORK = (".html", ".htm", ".pdf", ".py", ".md", ".doc", ".docx", ".odt", ".json")  # what a notebook may have become
ARCHIVES = (".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".xz", ".bz2")
NEVER = datetime.min.replace(tzinfo=UTC)
NO_NOTEBOOK = "it is no notebook (.ipynb), and {} handed in no other"


@dataclass(frozen=True)
class Fate:
    """What became of a file, for a student or for nobody: "taken", "older", "passed over" or "lost"; and why.

    `told` is what else the teacher must hear: that it replaced another, or that its owner has another name now.
    """

    file: str
    fate: str
    why: str
    student: str = ""
    told: str = ""


Handed = tuple[Found, Claim]


def could_be_work(found: Found) -> bool:
    """May somebody's work be in a file? Then it must not be passed over if its owner has no notebook."""
    return bool(found.refused) or is_notebook(found.name) or found.name.lower().endswith(WORK + ARCHIVES)


def attempts(files: Iterable[Handed]) -> list[list[Handed]]:
    """The files of each hand-in, the newest first; all together if not each has a time that the platform gave it."""
    groups: dict[str, list[Handed]] = {}
    for found, claim in files:
        groups.setdefault(claim.attempt, []).append((found, claim))
    if any(group[0][1].handed_in is None for group in groups.values()):
        return [[pair for group in groups.values() for pair in group]]
    return sorted(groups.values(), key=lambda group: group[0][1].handed_in or NEVER, reverse=True)


def newest(named: Sequence[Handed]) -> tuple[Handed | None, str]:
    """Of several notebooks with the homework's name in one hand-in the one that counts, or why that is not clear."""
    try:
        if len({found.read() for found, _ in named}) == 1:
            return min(named, key=lambda pair: (len(pair[0].name), pair[0].name)), ""
    except BROKEN:
        return None, "it cannot be read"
    by_time = sorted(named, key=lambda pair: pair[0].modified)
    places = {claim.inside.rpartition("/")[0] for _, claim in named}
    if (
        len(places) == 1
        and all(claim.timed for _, claim in named)
        and by_time[-1][0].modified > by_time[-2][0].modified
    ):
        return by_time[-1], ""
    names = ", ".join(found.name for found, _ in named)
    return None, f"which one counts? {names}: name the others in the table with no student, to leave them out"


def pick(
    group: Sequence[Handed], assignment: str, others: Iterable[str], forced: set[str]
) -> tuple[Handed | None, str]:
    """The notebook of one hand-in, or why there is none: the one named for the homework, or the only one."""
    notebooks = [pair for pair in group if is_notebook(pair[1].inside) and not pair[0].refused]
    forced_here = [pair for pair in group if pair[0].name in forced and not pair[0].refused]
    named = forced_here or [pair for pair in notebooks if mentions(pair[1].inside.rpartition("/")[2], assignment)]
    if len(named) > 1:
        return newest(named)
    if named:
        return named[0], ""
    another = {pair[0].name: other for pair in notebooks for other in others if mentions(pair[1].inside, other)}
    rest = [pair for pair in notebooks if pair[0].name not in another]
    if len(rest) == 1:
        return rest[0], ""
    if rest:
        return None, f"none of {len(rest)} notebooks has {assignment} in its name: say in the table which one it is"
    if another:
        return None, f"it is {next(iter(another.values()))}, handed in as {assignment}"
    return None, ""


def decide(
    student: str, files: Sequence[Handed], assignment: str, others: Iterable[str], forced: set[str]
) -> tuple[Handed | None, list[Fate]]:
    """The notebook of one student, and what became of every file. Without a notebook, what could be work is lost."""
    groups, chosen, why = attempts(files), None, ""
    tried: list[Handed] = []  # of the newest attempt with work in it, and of those after it
    for group in groups:
        tried += group
        if any(could_be_work(found) for found, _ in group):
            chosen, why = pick(group, assignment, list(others), forced)
            break
    fates = []
    alarm = {found.name for found, _ in tried if could_be_work(found)} or {found.name for found, _ in tried}
    theirs = {id(found) for found, _ in tried}
    for found, claim in files:
        mine = id(found) in theirs
        if chosen and found is chosen[0]:
            fates.append(Fate(found.name, "taken", "", student))
        elif chosen and is_notebook(found.name) and not found.refused:
            same = mine and not mentions(claim.inside.rpartition("/")[2], assignment) and found.name not in forced
            told = "it is not named for the homework, as another one is" if same else f"{student} handed in a newer one"
            fates.append(Fate(found.name, "passed over" if same else "older", told, student))
        elif chosen or not mine or found.name not in alarm:
            told = "it is no notebook" if mine or not is_notebook(found.name) else "it is of an older attempt"
            fates.append(Fate(found.name, "passed over", found.refused or told, student))
        else:
            fates.append(Fate(found.name, "lost", found.refused or why or NO_NOTEBOOK.format(student), student))
    return chosen, fates
