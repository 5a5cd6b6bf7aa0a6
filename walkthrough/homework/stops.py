"""What stopped a cell: the facts that the grader makes a sentence of, and what of the cell can still be run."""

import ast
from typing import Any

from IPython.core.error import UsageError


def line_of(error: BaseException, user_ns: dict) -> int | None:
    """The cell's own line at which it stopped."""
    if isinstance(error, SyntaxError):
        return error.lineno
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals is user_ns:
            return trace.tb_lineno
        trace = trace.tb_next
    return None


def without(
    source: str, text: str, error: BaseException | None, user_ns: dict, lost: dict[str, str]
) -> tuple[str, str, str] | None:
    """A cell from below what it cannot have here, at its own lines, with the kind of what that was, and its name.

    That is an import, an unknown magic, or a statement that uses what such an import would have brought: `lost` has the
    package by the name, and gets what is lost now. None if something else stopped the cell, or nothing is below.
    """
    if isinstance(error, UsageError) and source.lstrip().startswith("%%"):
        return "\n" + source.lstrip().partition("\n")[2], "magic", str(error)
    if not isinstance(error, ImportError | UsageError | NameError):
        return None
    try:
        statements = ast.parse(text).body
    except SyntaxError:
        return None
    line, kind, what = line_of(error, user_ns), "magic", str(error)
    here = [i for i, statement in enumerate(statements) if line and begin(statement) <= line <= statement.end_lineno]
    again = ""
    if isinstance(error, ImportError):
        kind, what, root = "package", str(error.name), str(error.name).partition(".")[0]
        here = [i for i in here if root in roots(statements[i])]
        if here:
            again, what = brought_by(statements[here[0]], root, lost)
    elif isinstance(error, NameError):
        kind, what = "use", lost.get(error.name, "")
        if bare := undecorated(text, [statements[i] for i in here if what], error.name):
            return bare, kind, what
        here = [i for i in here if what and error.name in loaded(statements[i])]
        if here:
            lost |= dict.fromkeys(stored(statements[here[0]]) - set(user_ns), what)
    if not here:
        return None
    stopped, below = statements[here[0]], statements[here[0] + 1 :]
    if not below:
        return ("\n" * (stopped.lineno - 1) + again, kind, what) if again else None
    lines, first = text.splitlines(), below[0]
    beginning = lines[begin(first) - 1]
    if begin(first) == first.lineno:
        beginning = beginning.encode()[first.col_offset :].decode()
    above = "\n" * (stopped.lineno - 1) + again + "\n" * (begin(first) - stopped.lineno)
    return above + "\n".join([beginning, *lines[begin(first) :]]), kind, what


def begin(statement: ast.stmt) -> int:
    """The line at which a statement begins, with its decorators."""
    return min([statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", []))])


def undecorated(text: str, here: list[ast.stmt], name: str) -> str | None:
    """A cell from a function or class on that is decorated by what is lost under this name, without such decorators."""
    for statement in here:
        decorators = getattr(statement, "decorator_list", [])
        if gone := [each for each in decorators if any(getattr(node, "id", "") == name for node in ast.walk(each))]:
            lines = text.splitlines()
            for each in gone:
                lines[each.lineno - 1 : each.end_lineno] = [""] * (each.end_lineno - each.lineno + 1)
            return "\n" * (begin(statement) - 1) + "\n".join(lines[begin(statement) - 1 :])
    return None


def roots(statement: ast.stmt) -> list[str]:
    """The packages that a statement imports; none, if it is no import."""
    if isinstance(statement, ast.Import):
        return [alias.name.partition(".")[0] for alias in statement.names]
    return [(statement.module or "").partition(".")[0]] if isinstance(statement, ast.ImportFrom) else []


def brought_by(stopped: ast.Import | ast.ImportFrom, root: str, lost: dict[str, str]) -> tuple[str, str]:
    """What of a failed import is still to come (of `import a, b`, b), and the module that is not there; `lost` gets its names."""
    at = roots(stopped).index(root) if isinstance(stopped, ast.Import) else 0
    gone, left = (
        ([stopped.names[at]], stopped.names[at + 1 :]) if isinstance(stopped, ast.Import) else (stopped.names, [])
    )
    module = gone[0].name if isinstance(stopped, ast.Import) else stopped.module
    lost |= {alias.asname or alias.name.partition(".")[0]: module for alias in gone}
    return ast.unparse(ast.Import(left)) + "; " if left else "", module


def loaded(statement: ast.stmt) -> set[str]:
    """The names that a statement uses; none for a function or class, without which its answer would be gone."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return set()
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def stored(statement: ast.stmt) -> set[str]:
    """The names that a statement would have given values to."""
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def facts(error: BaseException, user_ns: dict, lost: dict[str, str]) -> dict[str, Any]:
    """What the grader has to know of an error to say it in a sentence; `lost` has packages that are not there, by name."""
    try:
        said = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:
        said = ""
    what = error.filename if isinstance(error, FileNotFoundError) else getattr(error, "name", None)
    return {
        "error": type(error).__name__,
        "message": str(said)[:500],
        "what": str(what or "")[:80],
        "line": line_of(error, user_ns),
        "package": lost.get(str(what), "")[:80] if isinstance(error, NameError) else "",
    }
