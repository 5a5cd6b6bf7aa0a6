"""What the judge takes over from a sandbox: outputs and notes, in their form and bounded; its word is not taken for them."""

import os
import re
import sysconfig
import textwrap
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from walkthrough.homework.reasons import plain

NOTES = {
    "package": "`{}` is no package of the course, and is not there when homework is marked; the lines below were run",
    "use": "what needs `{}`, which is not there when homework is marked, was passed over",
    "magic": "`{}` cannot be done when homework is marked; it was passed over",
    "window": "there is no window for the figures of `{}` when homework is marked; they are in the notebook",
}

# Where a frame of a traceback stands that runs cells, and not in anything that a student wrote or called.
OURS = re.compile(
    r"\s*File \S.*?(?:walkthrough[/\\]homework[/\\]|IPython[/\\]core[/\\](?:interactiveshell|compilerop)\.py)"
)
PLACES = sorted(  # where packages lie on the teacher's machine, the deepest first
    {str(Path(__file__).resolve().parents[2]), *map(sysconfig.get_path, ("purelib", "platlib", "stdlib"))},
    key=len, reverse=True,
)  # fmt: skip


def without_places(text: str) -> str:
    """A text in which files of packages are called as seen from their folder: `torch/serialization.py`."""
    for place in filter(os.path.basename, PLACES):  # not the root, whose name is empty
        text = text.replace(place + os.sep, "").replace(place, Path(place).name)
    return re.sub(r"[^\s\"'(]*/(?:site|dist)-packages/", "", text)


def for_students(output: NotebookNode) -> NotebookNode:
    """An output without the frames that run cells, and without the places of the teacher's machine."""
    if output.output_type == "error":
        output.traceback = [without_places(line) for line in output.traceback if not OURS.match(line)]
        output.evalue = without_places(output.evalue)
    elif output.output_type == "stream":
        output.text = without_places(output.text)
    elif "text/plain" in output.data:
        output.data["text/plain"] = without_places(output.data["text/plain"])
    return output


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
            kept.append(for_students(node))
        except Exception:
            continue
    return kept


def error_output(name: str, sentence: str) -> NotebookNode:
    """An error as notebooks store it: nbgrader gives no points to a cell that holds one."""
    shown = textwrap.fill(f"{name} {sentence}", 90)  # feedback pages do not wrap lines
    return nbformat.v4.new_output("error", ename=name, evalue=sentence, traceback=[shown])
