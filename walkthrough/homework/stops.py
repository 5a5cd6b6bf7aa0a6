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


def without(source: str, text: str, error: BaseException | None, user_ns: dict) -> str | None:
    """A cell from below the import, or the unknown magic, that stopped it, at its own lines; None if all else did."""
    if isinstance(error, UsageError) and source.lstrip().startswith("%%"):
        return "\n" + source.lstrip().partition("\n")[2]
    if not isinstance(error, ImportError | UsageError):
        return None
    try:
        statements = ast.parse(text).body
    except SyntaxError:
        return None
    line, root = line_of(error, user_ns), str(error.name).partition(".")[0] if isinstance(error, ImportError) else ""
    here = [i for i, statement in enumerate(statements) if line and statement.lineno <= line <= statement.end_lineno]
    if root:
        here = [i for i in here if root in roots(statements[i])]
    if not here:
        return None
    stopped, below = statements[here[0]], statements[here[0] + 1 :]
    again = ""
    if isinstance(stopped, ast.Import):  # of `import a, b`, b is still to come
        left = stopped.names[roots(stopped).index(root) + 1 :]
        again = ast.unparse(ast.Import(left)) + "; " if left else ""
    if not below:
        return "\n" * (stopped.lineno - 1) + again if again else None
    lines, first = text.splitlines(), below[0]
    beginning = lines[first.lineno - 1].encode()[first.col_offset :].decode()
    above = "\n" * (stopped.lineno - 1) + again + "\n" * (first.lineno - stopped.lineno)
    return above + "\n".join([beginning, *lines[first.lineno :]])


def roots(statement: ast.stmt) -> list[str]:
    """The packages that a statement imports; none, if it is no import."""
    if isinstance(statement, ast.Import):
        return [alias.name.partition(".")[0] for alias in statement.names]
    return [(statement.module or "").partition(".")[0]] if isinstance(statement, ast.ImportFrom) else []


def facts(error: BaseException, user_ns: dict) -> dict[str, Any]:
    """What the grader has to know of an error to say it in a sentence."""
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
    }
