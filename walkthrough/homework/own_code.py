"""What a student wrote for a task: the lines that tell most, and the function or value that they are of."""

import ast

from nbformat import NotebookNode

TELLING = ("@", "softmax", "einsum", "linalg", "kron", "hook", "index", "cumsum", "sigmoid", "return", "for ", "if ")


def lines_of(notebook: NotebookNode, name: str) -> tuple[list[str], str]:
    """The lines of a student's own function that tell most, the most telling first, and the function; of a value, its cell.

    No lines and "" if there is no such thing.
    """
    values = []
    for cell in reversed([cell for cell in notebook.cells if cell.cell_type == "code"]):
        try:
            tree = ast.parse(cell.source)
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in reversed(tree.body):
            if isinstance(node, ast.FunctionDef) and node.name == name:
                statements = [part for part in ast.walk(node) if isinstance(part, (ast.Assign, ast.AugAssign, ast.Return,
                                                                                   ast.For, ast.Expr, ast.If))]  # fmt: skip
                lines = [text for part in statements if (text := first_line(cell.source, part))]
                return ranked(lines), (ast.get_source_segment(cell.source, node) or "") if lines else ""
            if isinstance(node, ast.Assign) and name in names_in(node) and not stub(node.value):
                values.append(cell.source.strip())
    return values[:1], ""


def names_in(node: ast.Assign) -> set[str]:
    """The names that a statement gives values to."""
    return {part.id for target in node.targets for part in ast.walk(target) if isinstance(part, ast.Name)}


def stub(node: ast.expr) -> bool:
    """Whether a value is the `...` that stands where an answer is to be."""
    return isinstance(node, ast.Constant) and node.value is ...


def first_line(source: str, node: ast.stmt) -> str:
    """A statement as it is written; of one that holds others, its first line. "" for a docstring or a stub."""
    text = ast.get_source_segment(source, node) or ""
    if isinstance(node, (ast.For, ast.If)):
        return text.split("\n", 1)[0]
    said = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return "" if said or "NotImplementedError" in text else text


def ranked(lines: list[str]) -> list[str]:
    """Lines by how much is done in them."""
    return sorted(dict.fromkeys(lines), key=lambda text: (-sum(text.count(word) for word in TELLING), -len(text), text))


def parameters(release: NotebookNode, name: str) -> list[str]:
    """What the assignment calls the inputs of a function; none for what is no function."""
    for cell in release.cells:
        if cell.cell_type == "code" and f"def {name}(" in cell.source:
            for node in ast.parse(cell.source).body:
                if isinstance(node, ast.FunctionDef) and node.name == name:
                    return [argument.arg for argument in node.args.args]
    return []
