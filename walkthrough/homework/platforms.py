"""Whose a file is by the name that a learning platform gave it, or its folder.

Where each form is from: Moodle, `mod/assign/classes/downloader.php` and earlier versions of it (with and without the
last `_`; group and blind marking too). Canvas, `lib/content_zipper.rb`. Both put the time of the download into their
zips, so neither tells when something was handed in. Blackboard, Brightspace and Gradescope are closed: their forms are
those of several teachers' public scripts that read them (bb-file-cleanup, parselearn; d2lmf; otter-grader). Not found
in public: Brightspace's dates in other languages than English, which are passed on as "no time". nbgrader's exchange:
`nbgrader/exchange/default/submit.py`.
"""

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAY = r"(?:[A-Z][a-z]{2,8}\.? \d{1,2}|\d{1,2} [A-Z][a-z]{2,8}\.?)"
DATE = rf"(?P<time>{DAY}, \d{{4}} \d{{1,2}}:?(?:\d\d)? [AP]M)"
IN_FOLDERS = {  # a name of a folder (or of a zip that holds what one person handed in)
    "moodle": r"(?P<name>.+?)(?:_(?P<number>\d+))?_assignsubmission_[a-z]+_?",
    "brightspace": rf"(?P<number>\d+)-\d+ - (?P<name>.+?) - (?:{DATE}|[^-]*\d{{4}}[^-]*)",
    "gradescope": r"(?P<name>submission_\d+)",
    "exchange": r"(?P<name>[^+]+)\+(?P<assignment>[^+]+)\+(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ UTC)(?:\+.*)?",
}
IN_FILES = {  # a file's own name
    "moodle": r"(?P<name>.+?)(?:_(?P<number>\d+))?_assignsubmission_[a-z]+_(?P<file>.+)",
    "blackboard": r"(?P<name>.+?)_attempt_(?P<time>\d{4}(?:-\d\d){5})(?:_(?P<file>.+)|\.txt)",
    "brightspace": rf"(?P<number>\d+)-\d+ - (?P<name>.+?) - (?:{DATE} - )?(?P<file>.+)",
    "anonymous": r"(?P<late>LATE_)?anon_(?P<number>\w+?)_(?:[1-9]\d{3,}_(?P<file>.+)|(?:text|link)\.html)",
    "canvas": r"(?P<name>\w+?)_(?P<late>LATE_)?(?P<number>[1-9]\d+)_(?:[1-9]\d{3,}_(?P<file>.+)|(?:text|link)\.html)",
}
METADATA = "submission_metadata.yml"


@dataclass(frozen=True)
class Claim:
    """Whose a file is: the name to make an id of, what tells people of one name apart, and what else is said.

    `scope` is where the export lies, `called` what a table may call the person, `inside` the file's path in what was
    handed in, `attempt` the hand-in that it belongs to, `slot` the
    assignment that it was handed in for, if that is said. `timed`: do the files' own times say which is newer?
    `person` is `who` before the teacher's table gave another name.
    """

    student: str
    who: str
    scope: str
    called: tuple[str, ...]
    inside: str
    attempt: str = ""
    handed_in: datetime | None = None
    late: bool = False
    timed: bool = False
    slot: str = ""
    person: str = ""


class Export:
    """What the files of an export say together; times without a zone are read in `zone`."""

    def __init__(self, files: dict[str, bytes], names: Iterable[str], zone: tzinfo) -> None:
        self.zone = zone
        self.receipts = {name.rpartition("_attempt_")[0]: receipt(text) for name, text in files.items()
                         if name.endswith(".txt")}  # fmt: skip
        self.metadata = {name.removesuffix(METADATA) + key: record for name, text in files.items()
                         if name.endswith(METADATA) for key, record in submissions(text).items()}  # fmt: skip
        numbers: dict[str, dict[str, set[str]]] = {}
        for scope, _, found in filter(None, map(placed, names)):
            if found["platform"] == "moodle":
                numbers.setdefault(scope, {}).setdefault(found["name"], set()).add(found["number"] or "")
        # blind marking: everybody has the same name, "Participant" or the word for it in Moodle's language
        self.blind = {
            (scope, name)
            for scope, people in numbers.items()
            for name, different in people.items()
            if name.lower() == "participant" or (len(people) == 1 and len(different) > 2)
        }

    def claims(self, path: str) -> list[Claim]:
        """Whose a file is; several where a group handed in together; nobody if its path is of no platform."""
        place = placed(path)
        if not place:
            return []
        scope, inside, found = place
        platform, name, number = found["platform"], found["name"] or "", found["number"] or ""
        time, called = moment(found["time"] or "", self.zone), (number, name, f"{name}_{number}")
        timed = ".zip/" in path[len(scope) :].lower()
        rest = {"scope": scope, "inside": inside, "attempt": found["time"] or "", "handed_in": time, "timed": timed}
        match platform:
            case "gradescope":
                return self.of_a_group(scope + name, scope, inside, timed)
            case "exchange":
                return [Claim(name, f"exchange {name}", called=(name,), slot=found["assignment"] or "", **rest)]
            case "blackboard":
                user, person = self.receipts.get(scope + name) or (name.rpartition("_")[2], "")
                user, called = (user, (user, person, name)) if name.endswith(f"_{user}") else (name, (name,))
                return [Claim(user, f"blackboard {name}", called=called, **rest)]
            case "moodle" if (scope, name) not in self.blind:
                return [Claim(name, f"moodle {name}_{number}", called=(f"{name}_{number}", number, name), **rest)]
            case "canvas" | "anonymous" | "moodle":
                name = "anon" if platform == "anonymous" else name
                late = bool(found["late"])
                return [Claim(f"{name}_{number}", f"{platform} {name}_{number}", called=called, late=late, **rest)]
        return [Claim(name, f"{platform} {number} {name}", called=called, **rest)]

    def of_a_group(self, folder: str, scope: str, inside: str, timed: bool) -> list[Claim]:
        """A submission to Gradescope, for each of those who handed it in; their number, else e-mail, else name counts."""
        record = self.metadata.get(folder, {})
        made = record.get(":created_at")
        made = made.get("utc", made.get("time")) if isinstance(made, dict) else made
        time = made.replace(tzinfo=made.tzinfo or UTC) if isinstance(made, datetime) else None
        claims = []
        for person in record.get(":submitters") or []:
            called = tuple(str(person[key]) for key in (":sid", ":email", ":name") if person.get(key))
            if called:
                claims.append(
                    Claim(called[0], f"gradescope {called[0]}", scope, called, inside, folder, time, False, timed)
                )
        return claims


@functools.cache
def placed(path: str) -> tuple[str, str, dict[str, str | None]] | None:
    """The first part of a path that a platform made: what is before it, what the student made, and what it says.

    The first one: a folder within what a student handed in may be called whatever the student likes.
    """
    parts = path.split("/")
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        is_file = last or part.lower().endswith(".zip")
        for platform, form in (*(IN_FILES.items() if is_file else ()), *(() if last else IN_FOLDERS.items())):
            found = re.fullmatch(form, part)
            if found and not (platform == "canvas" and found["name"] != found["name"].lower()):
                said = {
                    key: found.groupdict().get(key) for key in ("name", "number", "time", "late", "file", "assignment")
                }
                inside = "/".join(filter(None, [said["file"], *parts[i + 1 :]]))
                said |= {
                    "platform": platform,
                    "receipt": part if platform == "blackboard" and not said["file"] else None,
                }
                return "".join(f"{p}/" for p in parts[:i]), inside or part, said
    return None


def moment(text: str, zone: tzinfo) -> datetime | None:
    """A platform's time: 2026-11-01-12-30-45, 2026-11-01 12:30:45.123456 UTC, or Nov 1, 2026 1230 PM."""
    digits = [int(number) for number in re.findall(r"\d+", text)]
    try:
        if text.endswith("UTC"):
            return datetime(*digits[:6], tzinfo=UTC)
        if not text.endswith("M"):
            return datetime(*digits, tzinfo=zone) if digits else None
        day, year, *clock = digits
        hour, minute = clock if len(clock) == 2 else divmod(clock[0], 100) if clock[0] > 12 else (clock[0], 0)
        hour = hour % 12 + 12 * text.endswith("PM")
        return datetime(
            year, MONTHS.index(re.search("[A-Za-z]{3}", text)[0].lower()) + 1, day, hour, minute, tzinfo=zone
        )
    except ValueError:
        return None


def receipt(text: bytes) -> tuple[str, str] | None:
    """The user's and the person's name in Blackboard's text file, whose first line is `Name: Anna Example (aexample)`."""
    first = text.decode("utf-8", "replace").lstrip("\ufeff").partition("\n")[0]
    found = re.fullmatch(r"[^:]+:\s*(.*)\s\(([^()]+)\)\s*", first)
    return (found[2], found[1]) if found else None


def submissions(text: bytes) -> dict[str, dict]:
    """Gradescope's list of submissions; none if it cannot be read."""
    import yaml  # here, since most exports have no such list

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        """Reads what Ruby calls its own kinds of objects as the plain mappings that they are written as."""

    Loader.add_multi_constructor("!ruby/", lambda loader, _, node: loader.construct_mapping(node, deep=True))
    try:
        loaded = yaml.load(text, Loader)
        return {str(key): record for key, record in loaded.items() if isinstance(record, dict)}
    except (yaml.YAMLError, AttributeError, RecursionError, ValueError):
        return {}
