"""Whose a file is where no platform named it: `anna_hw1.ipynb`, `anna/hw1.ipynb`, `anna.zip`; never by a guess."""

from collections import defaultdict
from collections.abc import Sequence

from walkthrough.homework.names import named_for, student_id
from walkthrough.homework.platforms import Claim

COURSE = ("notebooks", "homework")  # the course's own folders, in which a student may hand the notebook in


class Folders:
    """Files in folders that people made, looked at together: what one path leaves open, the others may decide."""

    def __init__(self, paths: Sequence[str], assignment: str) -> None:
        self.assignment = assignment
        self.nobodys = f"neither its name nor a folder says whose {assignment} it is"
        self.authors: dict[str, set[str]] = defaultdict(set)  # of a folder: who the names of its files say
        self.folders: dict[str, set[str]] = defaultdict(set)  # of who a name says: in which folders it stands
        self.homes: dict[str, set[str]] = defaultdict(set)  # of a folder with notebooks/homework in it: where it lies
        self.owned: dict[str, str] = {}  # folders and zips that are somebody's: whose
        for path in paths:
            folder, who = path.rpartition("/")[0], self.says(path)
            if who is not None:
                self.authors[folder].add(student_id(who).lower())
                self.folders[student_id(who).lower()].add(folder)
            above, below = self.cut(folder.split("/"))
            if above and COURSE[0] in [part.lower() for part in below]:
                self.homes[above[-1]].add("/".join(above))
        together = [folder for folder, who in self.authors.items() if len(who - {""}) > 1]
        self.collections = {self.first_zip(f"{folder}/") for folder in together}  # zips of several people's files

    def claims(self, paths: Sequence[str]) -> dict[str, Claim | str]:
        """For each path whose it is, or why that is not clear. A file that is no `hw1` goes with its folder's owner."""
        nobodys_zips = ("", *self.collections)
        telling = [p for p in paths if self.says(p) is not None or self.first_zip(p) not in nobodys_zips]
        first = {path: self.claim(path) for path in telling}
        return first | {path: self.beside(path) for path in paths if path not in first}

    def claim(self, path: str) -> Claim | str:
        """Whose a file is that says of what homework it is, or lies in a zip.

        In X, `anna_hw1.ipynb` is anna's if other files there are somebody else's; X's if X also holds an `hw1.ipynb`, or
        if other folders hold an `anna_hw1`, too (as in `anna/my_hw1`, `ben/my_hw1`); otherwise it is not clear.
        In a zip among what was handed in, all is the zip's owner's, unless two names stand side by side in it.
        """
        *above, file = path.split("/")
        who, authors = self.says(path), self.authors["/".join(above)]
        if self.first_zip(path) not in ("", *self.collections):
            return self.in_a_zip(path)
        if len(authors - {""}) > 1 or (who and not above):
            return self.made(who, above, [file]) if who else self.nobodys
        owner, alone = self.cut(above)[0][-1:], student_id(who or "").lower()
        if (
            who
            and owner
            and alone != student_id(owner[0]).lower()
            and "" not in authors
            and len(self.folders[alone]) < 2
        ):
            return f"it may be {owner[0]}'s or {who}'s"
        return self.nearest(above, file)

    def in_a_zip(self, path: str) -> Claim | str:
        """The claim of the outermost zip that a path leads through."""
        parts = path.split("/")
        i = len(self.first_zip(path).split("/")) - 1
        owner = named_for(parts[i], self.assignment, r"\.zip")
        owner = parts[i][:-4] if owner is None else owner
        return self.made(owner, parts[:i], parts[i + 1 :]) if owner else self.nearest(parts[:i], *parts[i:])

    def nearest(self, above: list[str], *inside: str) -> Claim | str:
        """The claim of the nearest folder, but for those that are the course's own."""
        owners, own = self.cut(above)
        if own and owners[1:] and len(self.homes[owners[-1]]) > 1:
            owners, own = owners[:-1], [owners[-1], *own]  # each student's copy of the course has the same name
        if not owners:
            return self.nobodys
        return self.made(named_for(owners[-1], self.assignment, "") or owners[-1], owners[:-1], [*own, *inside], owners)

    def beside(self, path: str) -> Claim | str:
        """The claim of what does not say that it is this homework: the nearest folder's that is somebody's."""
        parts = path.split("/")
        for i in range(len(parts) - 1, 0, -1):
            if owner := self.owned.get("/".join(parts[:i])):
                return self.made(owner, parts[: i - 1], parts[i:])
        return f"its name does not say that it is {self.assignment}"

    def made(self, owner: str, above: list[str], inside: list[str], folder: Sequence[str] = ()) -> Claim:
        """A claim, and a note whose the folder is."""
        if folder:
            self.owned["/".join(folder)] = owner
        scope = "".join(f"{part}/" for part in above)
        shown = [part for part in inside[:-1] if part.lower() not in (*COURSE, self.assignment.lower())]
        return Claim(owner, f"name {owner}", scope, (owner,), "/".join([*shown, inside[-1]]), timed=True)

    def says(self, path: str) -> str | None:
        """Who a file's name says it is from, "" for nobody, None if it is not named for the assignment."""
        return named_for(path.rpartition("/")[2], self.assignment, r"(?:\.\w+)+")

    def first_zip(self, path: str) -> str:
        """The path of the first zip that a path leads through, or ""."""
        parts = path.split("/")
        ends = [i for i, part in enumerate(parts[:-1]) if part.lower().endswith(".zip")]
        return "/".join(parts[: ends[0] + 1]) if ends else ""

    def cut(self, folders: list[str]) -> tuple[list[str], list[str]]:
        """Folders down to the last that may be somebody's, and the course's own below (`notebooks`, `homework`, `hw1`)."""
        own = len(folders)
        while own and (
            folders[own - 1].lower() in ("", *COURSE)
            or named_for(folders[own - 1], self.assignment, r"(?:\.ipynb)?") == ""
        ):
            own -= 1
        return folders[:own], folders[own:]
