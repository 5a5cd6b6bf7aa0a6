"""A submission's own cells, in the release: what a student may write is taken over, all else is ours.

All copies of an answer count, in their order. Nothing that is put back comes after, and so overrides, what the student
wrote. Whose a cell is says `recognising`.
"""

import copy

from nbformat import NotebookNode

from walkthrough.homework.owned import added, own, with_pictures, writable
from walkthrough.homework.recognising import Piece, Recognition, grade_id, id_of, own_names
from walkthrough.homework.sources import defined, halves, imported, prose, said, same

__all__ = ["grade_id", "restored"]
LEFT = "**The cell above this line was left as it was. This stands elsewhere in the notebook:**"


class Restoring(Recognition):
    """The release, filled in with what a student wrote."""

    def ours(self, name: str, source: str | None = None) -> NotebookNode:
        """A cell of the release, with another source if one is given."""
        cell = copy.deepcopy(self.marked[name])
        cell.source = cell.source if source is None else source
        return cell

    def locked(self, name: str) -> None:
        """A cell that nobody may change stands once, as it was; code of the student's that was typed in it is run."""
        unchanged = [piece for piece in self.copies(name) if same(piece.cell.source, self.marked[name].source)]
        place = (unchanged or self.copies(name))[0]
        for piece in self.edited(name):
            if self.marked[name].cell_type != "code":
                piece.text = added(piece.cell, self.marked[name])
            elif defined(piece.cell.source) - defined(self.marked[name].source):
                piece.becomes = own(piece.cell, "code")
        if not unchanged:
            kind = "test cell" if self.marked[name].metadata.nbgrader.get("grade") else "cell"
            self.remarks.append(f"{kind} {name} was changed; it was put back")
        if place.becomes is not None:
            after = Piece(place.place, place.cell, name, becomes=self.ours(name))
            self.pieces.insert(self.pieces.index(place) + 1, after)
        else:
            place.becomes = self.ours(name)

    def code(self, name: str) -> None:
        """All copies of an answer that the student wrote in stand in their order; the first has the mark."""
        written = self.edited(name) or self.copies(name)[:1]
        for piece in written[1:]:
            piece.becomes = own(piece.cell, "code")
        written[0].becomes = self.ours(name, written[0].cell.source)
        if len(written) > 1:
            self.remarks.append(f"cell {name} was split or copied: all {len(written)} parts were run, in their order")

    def text(self, name: str) -> None:
        """All copies of a written answer stand in one cell, in their order, for a person to read."""
        written = self.edited(name)
        parts = list(dict.fromkeys(piece.cell.source for piece in written))
        if not written:
            self.copies(name)[0].becomes = self.ours(name)
            return
        written[0].becomes = self.ours(name, "\n\n".join(parts))
        for piece in written:
            with_pictures(written[0].becomes, piece.cell)
        if len(parts) > 1:
            self.remarks.append(f"cell {name} was split or copied: its {len(parts)} parts were put together")

    def beside(self, notebook: NotebookNode) -> None:
        """Text of the student's own, where a written answer was left as it was: a person is to read it."""
        texts = [piece.text for piece in self.pieces if said(piece.text)]
        for cell in notebook.cells:
            name, mark = grade_id(cell), cell.metadata.get("nbgrader", {})
            by_hand = mark.get("grade") and mark.get("solution")
            if not texts or not by_hand or not same(cell.source, self.marked[name].source):
                continue
            cell.source = "\n\n".join([cell.source, LEFT, *texts])
            for piece in self.pieces:
                if said(piece.text):
                    with_pictures(cell, piece.cell)
            self.remarks.append(f"cell {name} was left as it was; a person will read the text that stands elsewhere")

    def own_cells(self) -> None:
        """Cells of the student's own, and the release's unmarked ones; those that begin the release are run as they were."""
        by_id = {id_of(cell): cell for cell in self.plain if id_of(cell)}
        there = set()
        for piece in self.pieces:
            if piece.name is not None:
                continue
            ours = next((cell for cell in self.plain if same(piece.cell.source, cell.source)), None)
            ours = ours or by_id.get(id_of(piece.cell))
            begins = ours is not None and any(ours is cell for cell in self.head)
            there |= {id(ours)}
            if begins and (same(piece.cell.source, ours.source) or not piece.cell.source.strip()):
                continue
            piece.becomes = own(piece.cell, piece.cell.cell_type)
            if begins and ours.cell_type == "code":
                self.remarks.append("the set-up cell was changed: it was run as it was handed out, and then as yours")
            if piece.cell.cell_type != "code" or prose(piece.cell.source):
                piece.text = added(piece.cell, ours)
        if any(cell.cell_type == "code" and id(cell) not in there for cell in self.head):
            self.remarks.append("a set-up cell was deleted; it was put back")

    def joined(self) -> None:
        """Code cells that are halves of one are put together again."""
        before: Piece | None = None
        for piece in self.pieces:
            cell = piece.becomes
            if cell is None:
                continue
            if before and all(map(writable, (before.becomes, cell))) and halves(before.becomes.source, cell.source):
                before.becomes.source += "\n" + cell.source
                piece.becomes = None
                number = piece.place + 1
                self.remarks.append(f"your cell {number} is half of one that was split: the halves were put together")
                continue
            before = piece

    def stubs(self) -> list[NotebookNode]:
        """Empty answers that come before all that the student wrote; those that the student defined elsewhere are left out."""
        elsewhere = set()
        for piece in self.pieces:
            cell = piece.becomes
            stub = cell is not None and grade_id(cell) and same(cell.source, self.marked[grade_id(cell)].source)
            if cell is not None and cell.cell_type == "code" and not stub:
                elsewhere |= defined(cell.source) | imported(cell.source)
        first = []
        for name, ours in self.marked.items():
            if not self.is_code_answer(ours):
                continue
            there = [piece for piece in self.pieces if piece.becomes is not None and grade_id(piece.becomes) == name]
            wanted = own_names(ours.source)
            untouched = [piece for piece in there if same(piece.becomes.source, ours.source)]
            if there and not (untouched and wanted & elsewhere):
                continue
            for piece in untouched:
                piece.becomes = None
            if wanted and wanted <= elsewhere:
                names = ", ".join(f"`{each}`" for each in sorted(wanted))
                self.remarks.append(f"cell {name} holds no answer; yours was taken from another cell, with {names}")
                continue
            first.append(self.ours(name))
            if not there:
                self.remarks.append(f"cell {name} was deleted; it was put back")
        return first

    def notebook(self) -> NotebookNode:
        """The release, with the student's own cells in it."""
        self.recognised()
        for name in self.marked:
            if not self.copies(name):
                continue
            if self.marked[name].metadata.nbgrader.get("locked"):
                self.locked(name)
            elif self.is_code_answer(self.marked[name]):
                self.code(name)
            else:
                self.text(name)
        self.own_cells()
        self.joined()
        first = self.stubs()
        cells = [copy.deepcopy(cell) for cell in self.head] + first
        cells += [piece.becomes for piece in self.pieces if piece.becomes is not None]
        for name, cell in self.marked.items():
            if not self.copies(name) and not self.is_code_answer(cell):
                cells.append(self.ours(name))
                self.remarks.append(f"cell {name} was deleted; it was put back")
        notebook = copy.deepcopy(self.release)
        notebook.cells = cells
        self.beside(notebook)
        return notebook


def restored(submission: NotebookNode, release: NotebookNode) -> tuple[NotebookNode, list[str]]:
    """The release with the student's own cells in it, and what had to be put back.

    Only what a student may write is taken from the submission: the source of answer cells and of cells of their own.
    nbgrader finds each of its cells once, and never a mark of the student's making.
    """
    work = Restoring(release, submission)
    notebook = work.notebook()
    return notebook, list(dict.fromkeys(work.remarks))
