"""What the text of a cell is: code that runs by itself, code that defines a name, half of a cell, or prose."""

import ast
import contextlib
import re
import warnings
from functools import lru_cache

LONGEST = 50_000  # characters
warnings.filterwarnings("ignore", category=SyntaxWarning, module="cell")
DEFINED = re.compile(r"^(?:async\s+)?(?:def|class)\s+(\w+)|^(\w+)\s*(?::[^=\n]+)?=(?!=)", re.MULTILINE)
TIMED = re.compile(r"\A\s*%%(?:time|timeit|capture|prun)\b.*\n")  # what follows such a line is Python
MAGIC = re.compile(r"^([ \t]*)(?:[%!?].*|.*\?)$", re.MULTILINE)
TAKEN = re.compile(r"^([ \t]*[\w, \t]+=)[ \t]*[%!].*$", re.MULTILINE)


def python_of(source: str) -> str:
    """A cell as IPython reads it, near enough to tell what it defines: less deep, and without magics and shell lines."""
    source = TIMED.sub("", source)
    indent = re.match(r"\s*", source).group().rpartition("\n")[2]
    lines = [line.removeprefix(indent) for line in source.splitlines()]
    return "pass" if source.lstrip().startswith("%%") else MAGIC.sub(r"\1pass", TAKEN.sub(r"\1 None", "\n".join(lines)))


@lru_cache(maxsize=4096)
def parsed(source: str) -> ast.Module | None:
    """The code of a cell, magics and shell lines included; None if it is not Python, or too long to be looked into."""
    for code in (source, python_of(source)) if len(source) <= LONGEST else ():
        with contextlib.suppress(Exception):  # the parser raises many kinds
            tree = compile(code, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            compile(tree, "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)  # only here, `return` needs a function
            return tree
    return None


def defined(source: str) -> set[str]:
    """The names that a cell defines for other cells, by `def`, `class` or `=`, also within `if`, `with` or `try`."""
    tree = parsed(source)
    if tree is None:
        return {name for pair in DEFINED.findall(source) for name in pair if name}
    names, open_ = set(), list(tree.body)
    while open_:
        node = open_.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        if not isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            open_ += ast.iter_child_nodes(node)
    return names


def imported(source: str) -> set[str]:
    """The names that a cell imports; `*` is no name."""
    nodes = ast.walk(parsed(source) or ast.Module([], []))
    found = [alias for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names]
    return {(alias.asname or alias.name).partition(".")[0] for alias in found} - {"*"}


def same(first: str, second: str) -> bool:
    """Whether two texts differ in white space at most where it means nothing: at line ends, at the end, in line breaks."""
    return [line.rstrip() for line in first.strip().splitlines()] == [
        line.rstrip() for line in second.strip().splitlines()
    ]


def halves(first: str, second: str) -> bool:
    """Whether one cell was split here: together they are Python, and one of them alone is not."""
    alone = parsed(first) is not None and parsed(second) is not None
    return not alone and bool(first.strip() and second.strip()) and parsed(f"{first}\n{second}") is not None


def prose(source: str) -> bool:
    """Whether a code cell holds text for a reader and no code: words that are not Python, comments, or a string."""
    tree = parsed(source)
    if tree is None:
        return not DEFINED.search(source) and len(source) <= LONGEST
    strings = all(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for node in tree.body
    )
    return strings and said(source)


def said(text: str) -> bool:
    """Whether a text has a word or a number in it."""
    return re.search(r"\w", text) is not None
