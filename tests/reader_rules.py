"""What the reader of a notebook may count on, as functions from a notebook to the list of its faults."""

import ast
import re
from pathlib import Path

from nbformat import NotebookNode

ROOT = Path(__file__).parent.parent
GLOSSARY = (ROOT / "notebooks" / "glossary.md").read_text("utf-8")
ENTRIES = dict(re.findall(r"^### (.+)\n\n((?:(?!^### ).*\n?)*)", GLOSSARY, re.M))
DETAILS = re.compile(r"<details><summary>([^<]+)</summary>\n\n(.*?)\n\n</details>", re.S)
EXERCISE = re.compile(r"^\*\*Exercise (\d+\.\d+): [^*]+\*\* \((easy|medium|hard), \d+ minutes\)\. ", re.M)
UNICODE_MATHS = re.compile("[⊗⊕∑Σ√‖∥ᵀ∈∀∂∇≤≥≈≠≪≫∝∞⟨⟩·²³¹⁰⁴-⁹⁻⁺ⁿʰ₀-₉ₐ-ₜα-ωΓΔΘΛΞΠΦΨΩ]")
ABBREVIATIONS = {
    "±": r"standard (deviation|error)|from .* to |largest and smallest",
    r"\bKL\b": r"KL divergence",
    r"\bnats\b": r"\bnats?\b",
}


def anchor(term: str) -> str:
    """The address of a heading, as code hosts and JupyterLab make it."""
    return re.sub(r"[^\w\- ]", "", term.lower()).replace(" ", "-")


def markdown(nb: NotebookNode) -> list[str]:
    """The prose cells."""
    return [cell.source for cell in nb.cells if cell.cell_type == "markdown"]


def code(nb: NotebookNode) -> list[NotebookNode]:
    """The code cells."""
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def prose(source: str) -> str:
    """Markdown without code and formulas."""
    for pattern in (r"```.*?```", r"\$\$.*?\$\$", r"\$[^$]*\$", r"``.*?``", r"`[^`]*`"):
        source = re.sub(pattern, " ", source, flags=re.S)
    return source


def short_lines(nb):
    return [line for cell in code(nb) for line in cell.source.splitlines() if len(line) > 100]


def formulas_in_latex(nb):
    lines = [line for source in markdown(nb) for line in prose(source).splitlines()]
    return [line for line in lines if UNICODE_MATHS.search(re.sub(r"^# \d\d · ", "", line))]


def is_stub(node: ast.AST) -> bool:
    """Whether a function holds nothing but its docstring and `raise NotImplementedError`."""
    return isinstance(node, ast.FunctionDef) and ast.unparse(node.body[-1]) == "raise NotImplementedError"


def function(source: str) -> ast.FunctionDef | None:
    """The one function that a text defines."""
    found = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return found[0] if len(found) == 1 else None


def outside(node: ast.FunctionDef) -> str:
    """A function without its body: name, arguments, annotations, docstring."""
    return ast.dump(node.args), ast.dump(node.returns) if node.returns else "", node.name, ast.get_docstring(node)


def exercises(nb: NotebookNode) -> dict[str, tuple[str, str]]:
    """For each label, the text of the exercise and the code cell that follows."""
    found = {}
    for cell, after in zip(nb.cells, nb.cells[1:]):
        for match in EXERCISE.finditer(cell.source) if cell.cell_type == "markdown" else ():
            found[match[1]] = cell.source[match.start() :], after.source if after.cell_type == "code" else ""
    return found


def solution(text: str) -> str:
    """The code that an exercise's solution unfolds."""
    unfolded = dict(DETAILS.findall(text)).get("Solution", "")
    block = re.search(r"```python\n(.*?)\n```", unfolded, re.S)
    return block[1] if block else ""


def whole_exercises(nb):
    """Difficulty, minutes, two hints and a solution; a stub of the solution's form, and its check, in the next cell."""
    faults, found = [], exercises(nb)
    checked = [label for cell in code(nb) for label in re.findall(r'check\("(\d+\.\d+)"', cell.source)]
    if list(found) != checked or sorted(checked, key=lambda x: int(x.split(".")[1])) != checked:
        faults.append(f"exercises {list(found)}, checks {checked}")
    for label, (text, cell) in found.items():
        if [name for name, _ in DETAILS.findall(text)] != ["Hint 1", "Hint 2", "Solution"]:
            faults.append(f"{label}: two hints and a solution, in this order")
        stub, solved = function(cell), function(solution(text)) if solution(text) else None
        if stub is None or solved is None or not is_stub(stub) or outside(stub) != outside(solved):
            faults.append(f"{label}: the solution is not the stub with a body")
    return faults


def described_figures(nb):
    """Each figure says what is to be seen, in a sentence of its own."""
    faults, texts = [], []
    for cell in code(nb):
        figures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        said = [figure.metadata.get("image/png", {}).get("alt", "") for figure in figures]
        faults += [f"{len(figures)} figures in one cell"] if len(figures) > 1 else []
        faults += [f"a figure without a description: {cell.source[-80:]}" for alt in said if len(alt.split()) < 8]
        texts += said
    return faults + sorted({alt for alt in texts if texts.count(alt) > 1})


def a_drawing_before_formulas(nb):
    sources = [cell.source for cell in nb.cells]
    drawings = [i for i, cell in enumerate(nb.cells) if cell.cell_type == "code" and "diagrams." in cell.source]
    formulas = [i for i, cell in enumerate(nb.cells) if cell.cell_type == "markdown" and "$$" in sources[i]]
    if not drawings:
        return ["no drawing"]
    return ["a formula stands before the first drawing"] if formulas and formulas[0] < drawings[0] else []


def two_guesses(nb):
    """A place for the guess, and an answer to each."""
    text = "\n".join(cell.source for cell in code(nb))
    asked, answered = text.count("widgets.Guess("), text.count(".answer(")
    return [] if 2 <= asked == answered else [f"{asked} guesses, {answered} answers"]


def a_proper_end(nb):
    """A recap of five things and a wrong reading, a quiz of three to five questions with answers, where next."""
    text = "\n\n".join(markdown(nb))
    headings = re.findall(r"^## (.+)$", text, re.M)
    if headings[-3:] != ["Recap", "Quiz", "Where next"]:
        return [f"ends with {headings[-3:]}"]
    recap, quiz, following = re.split(r"^## (?:Recap|Quiz|Where next)$", text, flags=re.M)[-3:]
    faults = [] if len(re.findall(r"^\d\. ", recap, re.M)) == 5 else ["the recap has not five things"]
    faults += [] if "| a wrong reading | the right one |" in recap else ["no wrong reading in the recap"]
    questions = re.findall(r"^\*\*Question (\d)\.\*\* ", quiz, re.M)
    answers = [name for name, _ in DETAILS.findall(quiz)]
    if not 3 <= len(questions) <= 5 or answers != ["Answer"] * len(questions):
        faults.append(f"{len(questions)} questions, {answers}")
    return faults + ([] if "](" in following else ["where next links nowhere"])


def statistics_defined_first(nb):
    """What is printed by its name has been explained, and links to the glossary, in prose above."""
    faults, above = [], ""
    names = {term: rf"\b{re.escape(term)}" for term, text in ENTRIES.items() if text.startswith("*Statistic.*")}
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            above += cell.source + "\n"
            continue
        shown = "\n".join(o.get("text", "") for o in cell.outputs) + "\n" + labels(cell.source)
        for term, name in names.items():
            if (
                re.search(name, shown, re.I)
                and f"glossary.md#{anchor(term)}" not in above
                and not re.search(name, above, re.I)
            ):
                faults.append(f"{term!r} before it is defined: {shown[:80]!r}")
        for short, said in ABBREVIATIONS.items():
            if re.search(short, shown) and not re.search(said, above, re.I | re.S):
                faults.append(f"{short!r} before it is defined: {shown[:80]!r}")
    return faults


def labels(source: str) -> str:
    """The texts in a cell's code: what figures are labelled with, and what is printed."""
    return "\n".join(
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def glossary_links_lead_somewhere(nb):
    links = re.findall(r"\]\(glossary\.md#([^)]*)\)", "\n".join(markdown(nb)))
    known = {anchor(term) for term in ENTRIES}
    return [link for link in links if link not in known] + ([] if links else ["no term links to the glossary"])


READER = (
    short_lines, formulas_in_latex, whole_exercises, a_drawing_before_formulas, two_guesses, a_proper_end,
    statistics_defined_first,
)  # fmt: skip
EVERY = (described_figures, glossary_links_lead_somewhere)
