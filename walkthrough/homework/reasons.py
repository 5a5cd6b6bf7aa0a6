"""Why there is no answer to mark, in one sentence for the student: the cell's own error, a new name, a value of no use."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from nbformat import NotebookNode
from torch import Tensor

from walkthrough.homework.restoring import grade_id

DEFINED = re.compile(r"^(?:async\s+def|def|class)\s+(\w+)|^(\w+)\s*(?::[^=\n]*)?=(?!=)", re.MULTILINE)
STOPS = {  # what stopped a cell, by the error's name; {what} is the error's own word for it
    "SyntaxError": "it is not Python there ({message})",
    "IndentationError": "it is not Python there ({message})",
    "TabError": "it is not Python there ({message})",
    "ModuleNotFoundError": "`{what}` is no package of the course, and is not there when homework is marked",
    "FileNotFoundError": "there is no file `{what}`: only the notebook is marked, so it has to make what it reads",
    "StdinNotImplementedError": "input() waits there for somebody to type, and nobody does when homework is marked",
    "RecursionError": "a function calls itself there without end",
    "MemoryError": "it asks there for more memory than there is",
    "NameError": "`{what}` was not defined when it ran: is it defined further down, or in a cell that stopped?",
    "SystemExit": "it leaves Python there, with exit or quit",
}
HINTS = {  # what to add to an error that a function stopped with
    "ModuleNotFoundError": "; that is no package of the course, and is not there when homework is marked",
    "FileNotFoundError": "; only the notebook is marked, and no other file is there",
    "RecursionError": "; does it call itself without end?",
    "NameError": "; no cell that ran defines it",
}
COMES_FROM = "comes from `{}`, which is no package of the course, and is not there when homework is marked"


def plain(text: Any, most: int = 80) -> str:
    """A submission's own word, fit to stand in a sentence of ours."""
    return " ".join(str(text).replace("`", "'").split())[:most]


def stop(facts: Mapping[str, Any]) -> str:
    """What stopped a cell, and in which line."""
    if "gone" in facts:
        return f"its cell was stopped: {plain(facts['gone'], 200)}"
    name, what = plain(facts.get("error")), plain(facts.get("what") or "")
    message = plain(facts.get("message") or "", 200)
    message = "it breaks off: is a bracket or a quote left open?" if message == "incomplete input" else message
    line = facts.get("line")
    where = f"its cell stopped in line {line}" if type(line) is int and 0 < line < 10**6 else "its cell stopped"
    if facts.get("package") and what:
        return f"{where}: `{what}` {COMES_FROM.format(plain(facts['package']))}"
    known = STOPS.get("MemoryError" if "allocate" in message else name)
    if known is None or ("{what}" in known and not what):
        return f"{where} with {name}{': ' if message else ''}{message}"
    return f"{where}: {known.format(what=what, message=message)}"


def hint(facts: Mapping[str, Any]) -> str:
    """What to add to the error that a function stopped with."""
    if facts.get("package"):
        return f"; that {COMES_FROM.format(plain(facts['package']))}"
    return HINTS.get(plain(facts.get("error")), "")


def defined(source: str) -> list[str]:
    """The names that a cell defines, outside of functions."""
    return [a or b for a, b in DEFINED.findall(source)]


def missing(
    label: str, name: str, cells: Sequence[NotebookNode], stops: Mapping[int, Mapping[str, Any]], others: set[str]
) -> str:
    """Why there is no such name after all cells have run; `stops` tells by a cell's id() what ended it.

    `others` are names that stand for something else: those of the other tasks, and of the release's own cells.
    """
    own = [cell for cell in cells if grade_id(cell) == f"{label}-answer" or name in defined(cell.source)]
    there_is_no = f"there is no `{name}`"
    for cell in own:
        if id(cell) in stops:
            return f"{there_is_no}: {stop(stops[id(cell)])}"
    for group in (own, cells):
        new = [word for cell in group for word in defined(cell.source) if word not in others and word != name]
        lower = {word.lower(): word for word in new}
        near = get_close_matches(name.lower(), lower, 1, 0.75)
        functions = [
            word for cell in own for word in re.findall(r"^def (\w+)", cell.source, re.MULTILINE) if word in new
        ]
        if near or (group is own and len(functions) == 1):
            return f"{there_is_no}: was it renamed `{lower[near[0]] if near else functions[0]}`? Give it the name that was asked for"
    if all(not cell.source.strip() for cell in own):
        return f"{there_is_no}: the cell for it is empty"
    if any(name in defined(cell.source) for cell in own):
        return f"{there_is_no} after your notebook has run, though a cell defines it: is it deleted further down?"
    return f"{there_is_no} after your notebook has run: is it defined inside another function, or under another name?"


def form(value: Any) -> str:
    """What kind of value an answer is."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)}" if value.ndim else "a tensor that is one number"
    if isinstance(value, dict):
        keys = ", ".join(f"`{plain(key, 20)}`" for key in list(value)[:5])
        return f"a dict with the keys {keys}" if value else "an empty dict"
    if isinstance(value, list | tuple):
        kind = type(value).__name__
        kinds = ", ".join(dict.fromkeys(form(item) for item in value[:20]))
        return f"a {kind} of {len(value)}: {plain(kinds, 150)}" if value else f"an empty {kind}"
    if isinstance(value, bool):
        return "True or False"
    return "a text" if isinstance(value, str) else "a number" if isinstance(value, int | float) else "nothing"
