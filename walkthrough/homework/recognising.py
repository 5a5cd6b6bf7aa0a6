"""Whose cell is it? What a submission's cells are to the release that they come from.

Editors split, copy, merge and retype cells, and some lose what marks them. What they do was looked up or tried:
JupyterLab 4.6 copies the mark into every copy and into both halves of a split cell, and gives the id to the second half;
VS Code copies mark and id, and gives a half that it splits off neither; both keep them when a cell's type changes. Files
that went through other programs may have lost all. So a cell is known by its mark, else by its id, else by its text, and
else by what it defines.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from nbformat import NotebookNode

from walkthrough.homework.sources import defined, imported, same


def grade_id(cell: NotebookNode) -> str | None:
    """The name that nbgrader knows a cell by; None for a cell that is no part of the assignment."""
    name = cell.metadata.get("nbgrader", {}).get("grade_id")
    return name if isinstance(name, str) else None


def id_of(cell: NotebookNode) -> str | None:
    """The id that notebooks give a cell since format 4.5; older ones have none."""
    return cell.id if isinstance(cell.get("id"), str) else None


@dataclass
class Piece:
    """One cell of a submission: its number there, whose it is (None: the student's own), and what it becomes."""

    place: int
    cell: NotebookNode
    name: str | None = None
    text: str = ""  # what the student wrote into it for a reader
    becomes: NotebookNode | None = None


@dataclass
class Recognition:
    """A release, a submission, and what was found while the one was compared with the other."""

    release: NotebookNode
    submission: NotebookNode
    remarks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.marked = {grade_id(cell): cell for cell in self.release.cells if grade_id(cell)}
        first = next((i for i, cell in enumerate(self.release.cells) if grade_id(cell)), 0)
        code = [i for i, cell in enumerate(self.release.cells[:first]) if cell.cell_type == "code"]
        self.head = self.release.cells[: code[-1] + 1] if code else []
        self.plain = [cell for cell in self.release.cells if not grade_id(cell)]
        self.pieces = [Piece(place, cell) for place, cell in enumerate(self.submission.cells)]

    def recognised(self) -> None:
        """Say of each cell whose it is; unmarked cells that are the release's own and unchanged become themselves."""
        ids = {id_of(cell): name for name, cell in self.marked.items() if id_of(cell)}
        texts: dict[str, list[str]] = defaultdict(list)
        for name, cell in self.marked.items():
            texts[cell.source.strip()].append(name)
        found = []
        for piece in self.pieces:
            piece.name = grade_id(piece.cell) if grade_id(piece.cell) in self.marked else None
            if piece.name is None:
                alike = texts.get(piece.cell.source.strip(), [])
                piece.name = ids.get(id_of(piece.cell)) or (alike[0] if len(alike) == 1 else None)
                found += [piece.name] if piece.name else []
        if found:
            names = ", ".join(dict.fromkeys(found))
            self.remarks.append(f"cells that had lost their marks were recognised all the same: {names}")
        for name, ours in self.marked.items():
            wanted = own_names(ours.source) if self.is_code_answer(ours) and not self.edited(name) else set()
            free = [piece for piece in self.pieces if wanted and self.free(piece)]
            define = [piece for piece in free if wanted <= defined(piece.cell.source)]
            for piece in define:
                piece.name = name
            if define:
                names = ", ".join(f"`{each}`" for each in sorted(wanted))
                self.remarks.append(f"cell {name} holds no answer; yours was taken from another cell, with {names}")

    def free(self, piece: Piece) -> bool:
        """Whether it is code of the student's own."""
        return piece.name is None and piece.cell.cell_type == "code" and not self.is_ours(piece.cell)

    def is_ours(self, cell: NotebookNode) -> bool:
        """Whether a cell is an unmarked one of the release, unchanged."""
        return any(same(cell.source, ours.source) for ours in self.plain)

    @staticmethod
    def is_code_answer(cell: NotebookNode) -> bool:
        """Whether it is a cell for code that a test judges."""
        mark = cell.metadata.nbgrader
        return cell.cell_type == "code" and bool(mark.get("solution")) and not mark.get("grade")

    def edited(self, name: str) -> list[Piece]:
        """The copies of a cell in which the student wrote something."""
        ours = self.marked[name]
        return [
            piece
            for piece in self.pieces
            if piece.name == name and piece.cell.source.strip() and not same(piece.cell.source, ours.source)
        ]

    def copies(self, name: str) -> list[Piece]:
        """All copies of a cell."""
        return [piece for piece in self.pieces if piece.name == name]


def own_names(stub: str) -> set[str]:
    """The names that an empty answer defines, and does not only import."""
    return defined(stub) - imported(stub)
