"""What stood in a notebook when a task's answer or its test had come: a later cell may have replaced an answer that was right."""

import contextlib
import dis
import inspect
from collections.abc import Iterator
from types import CodeType
from typing import Any


class Standing:
    """The names of a notebook as they were at certain places, each of which has a label; `names` are those of now."""

    def __init__(self, names: dict[str, Any]):
        self.names, self.then = names, {}

    def keep(self, place: str) -> None:
        """Remember the names as they are."""
        self.then[place] = dict(self.names)

    def replaced(self, name: str, place: str, than: str | None = None) -> bool:
        """Whether something of this name stood at a place and is another now (or at a second place), or uses what is."""
        then, later = self.then.get(place, {}), self.names if than is None else self.then.get(than, {})
        nothing = object()
        return name in then and any(then[each] is not later.get(each, nothing) for each in reached(name, then))

    @contextlib.contextmanager
    def back(self, place: str | None) -> Iterator[None]:
        """Within it, the notebook's names are those of the place, for functions too; without a place, nothing changes."""
        if place is None:
            yield
            return
        now = dict(self.names)
        self.names.clear()
        self.names.update(self.then.get(place, {}))
        try:
            yield
        finally:
            self.keep(place)  # what functions remember stays
            self.names.clear()
            self.names.update(now)


def reached(name: str, names: dict[str, Any]) -> set[str]:
    """A name, and all others that a function of this name can come by, through those that it calls."""
    found, open_ = {name}, [name]
    while open_:
        value = names[open_.pop()]
        code = getattr(inspect.unwrap(value) if inspect.isfunction(value) else value, "__code__", None)
        new = (
            [word for word in words(code) if word in names and word not in found] if isinstance(code, CodeType) else []
        )
        found |= set(new)
        open_ += new
    return found


def words(code: CodeType) -> set[str]:
    """The names outside of it that a piece of code uses, in functions within it too."""
    inside = [part for part in code.co_consts if isinstance(part, CodeType)]
    here = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return here.union(*map(words, inside))
