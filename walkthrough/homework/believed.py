"""What the judge takes over from a sandbox: outputs and notes, in their form and bounded; its word is not taken for them."""

import textwrap
from typing import Any

import nbformat
from nbformat import NotebookNode

from walkthrough.homework.reasons import plain

NOTES = {
    "package": "`{}` is no package of the course, and is not there when homework is marked; the lines below were run",
    "magic": "`{}` cannot be done when homework is marked; it was passed over",
    "window": "there is no window for the figures of `{}` when homework is marked; they are in the notebook",
}


def noted(notes: Any) -> list[str]:
    """What a cell could not have, in sentences; the sandbox's word is bounded."""
    kept = [note for note in notes if isinstance(note, list) and len(note) == 2] if isinstance(notes, list) else []
    return list(dict.fromkeys(NOTES[str(kind)].format(plain(what)) for kind, what in kept[:9] if str(kind) in NOTES))


def well_formed(outputs: Any) -> list[NotebookNode]:
    """The outputs that a notebook may hold; the sandbox's word is not taken for it."""
    kept = []
    for output in outputs if isinstance(outputs, list) else []:
        try:
            node = nbformat.from_dict(output)
            nbformat.validate(node, ref="output", version=4)
            if node.output_type in ("display_data", "execute_result"):  # no scripts in the teacher's browser
                node.data = {kind: node.data[kind] for kind in ("text/plain", "image/png") if kind in node.data}
            kept.append(node)
        except Exception:
            continue
    return kept


def error_output(name: str, sentence: str) -> NotebookNode:
    """An error as notebooks store it: nbgrader gives no points to a cell that holds one."""
    shown = textwrap.fill(f"{name} {sentence}", 90)  # feedback pages do not wrap lines
    return nbformat.v4.new_output("error", ename=name, evalue=sentence, traceback=[shown])
