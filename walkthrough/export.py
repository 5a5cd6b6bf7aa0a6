"""Notebooks as pages that need no kernel, no network and no widget manager: `jupyter nbconvert --to offline`.

The course's site (`docs/conf.py`) is made with the same functions.
"""

import copy
import json
import re
from pathlib import Path
from typing import Any

from jinja2 import pass_context
from jinja2.runtime import Context
from latex2mathml.converter import convert
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from traitlets import default

ENGINE = Path(__file__).parent / "widgets" / "static" / "engine"
WEIGHTS = Path(__file__).parent / "weights"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
EXERCISE = re.compile(r"^\*\*(Exercises? [^*]+)\*\* \(([^)]+)\)\.? ", re.M)
FUNCTION = re.compile("(?<!sub>)(?<!sup>)(?<!under>)(<mi>[a-z]{2,}</mi>)(?=<m[in])")  # as in ln 2, which is not ln2
RUNS = re.compile(r'<div (?=[^>]*\bdata-explorer=)[^>]*\bdata-engine="([^"<]*)"')
CAPTION = '<p class="wt-caption">'
WITHOUT_LIBRARIES = """{% extends 'index.html.j2' %}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block data_png scoped %}<div class="jp-RenderedImage jp-OutputArea-output {{ extra_class }}"><img
src="data:image/png;base64,{{ output.data['image/png'] | escape_html }}"
alt="{{ (output | get_metadata('alt', 'image/png') or '') | escape_html }}"></div>{% endblock data_png %}"""


def mathml(latex: str, *, block: bool = False) -> str:
    r"""LaTeX as MathML, which browsers draw by themselves: `mathml("x_1")` is `<math …><msub>…</math>`.

    Raises ValueError for a command that the converter does not know; it would print the command's name.
    """
    latex = re.sub(r"\\(begin|end)\{aligned\}", r"\\\1{split}", latex)  # the same thing, under a name it knows
    found = convert(latex.strip(), display="block" if block else "inline")
    if unknown := re.search(r"\\\w+|>&<", found):
        raise ValueError(f"no MathML for {unknown[0].strip('<>')!r} in {latex!r}")
    found = FUNCTION.sub(r'\1<mspace width="0.17em" />', found)
    # Chromium does not know the attribute, and moves what is in a table's cell by no other style than this:
    return re.sub(
        r'columnalign="(\w+)"', r'style="text-align: \1; text-align: -webkit-\1; padding-inline: 0.1em"', found
    )


def without_widgets(notebook: NotebookNode) -> NotebookNode:
    """A copy in which each widget is its own HTML, or nothing."""
    notebook = copy.deepcopy(notebook)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in list(cell.get("outputs", [])):
            if output.get("data", {}).pop(WIDGET_VIEW, None) and "text/html" not in output.data:
                cell.outputs.remove(output)
    return notebook


def with_described_figures(notebook: NotebookNode) -> NotebookNode:
    """A copy in which each figure's alternative text (see `figures.show`) is where myst-nb looks for it: in its cell.

    The same sentence stands below as a caption, which whoever has heard the alternative text need not hear again.
    """
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            said = output.get("metadata", {}).get("image/png", {})
            if "alt" in said:
                image = {"alt": said["alt"]} | ({"classes": "wt-drawing"} if said.get("drawing") else {})
                cell.metadata["mystnb"] = {"image": image}
            if "".join(page := output.get("data", {}).get("text/html", "")).startswith(CAPTION):
                output.data["text/html"] = "".join(page).replace(CAPTION, CAPTION[:-1] + ' aria-hidden="true">')
    return notebook


def with_closed_exercises(notebook: NotebookNode) -> NotebookNode:
    """A copy in which each exercise, its text and the cell that checks it, is a closed `<details>` element.

    The tags are Markdown cells of their own, so this is for pages that put cells one after the other, as the site does.
    """
    notebook, cells = copy.deepcopy(notebook), []
    for cell in notebook.cells:
        if cells and cells[-1].source == "</details>" and "check(" in cell.source and cell.cell_type == "code":
            cells.insert(-1, cell)  # the cell that checks the exercise just opened
            continue
        exercise = EXERCISE.search(cell.source) if cell.cell_type == "markdown" else None
        if exercise is None:
            cells.append(cell)
            continue
        name, minutes = exercise.groups()
        summary = f"<summary>{name} <small>{minutes}</small></summary>"
        parts = [cell.source[: exercise.start()], f'<details class="exercise">{summary}', cell.source[exercise.end() :]]
        cells += [new_markdown_cell(part.strip()) for part in [*parts, "</details>"] if part.strip()]
    notebook.cells = cells
    return notebook


class Renderer(IPythonRenderer):
    """Markdown as HTML, with formulas as MathML."""

    def inline_math(self, body: str) -> str:
        """A formula in a line."""
        return mathml(body)

    def block_math(self, body: str) -> str:
        """A formula of its own."""
        return mathml(body, block=True)

    def latex_environment(self, name: str, body: str) -> str:
        """A formula of its own, in an environment such as `align*`."""
        return mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", block=True)


def with_engine(page: str) -> str:
    """A page that holds the engine which runs the models of its explorers, if it has explorers of models that ship.

    A file on disk may fetch nothing: the modules and the tokenizers are in it, and it asks its reader for the weights.
    """
    needs = sorted({name for names in RUNS.findall(page) for name in names.split()})
    if not needs:
        return page
    modules = [*ENGINE.glob("*.js"), *ENGINE.glob("vendor/*.mjs")]
    held = {
        "modules": {file.relative_to(ENGINE).as_posix(): file.read_text(encoding="utf-8") for file in sorted(modules)},
        "files": {name: json.loads((WEIGHTS / name).read_text(encoding="utf-8")) for name in needs},
    }
    text = json.dumps(held, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    head, body, rest = page.rpartition("</body>")
    return f'{head}<script type="application/json" id="walkthrough-engine">{text}</script>\n{body}{rest}'


class OfflineExporter(HTMLExporter):
    """A notebook as one HTML file that asks nothing of any host; JupyterLab: Save and Export Notebook As, Offline."""

    export_from_notebook = "HTML (offline)"

    @default("raw_template")
    def _without_libraries(self) -> str:
        return WITHOUT_LIBRARIES

    @pass_context
    def markdown2html(self, context: Context, source: str) -> str:
        """What templates call for each Markdown cell."""
        attachments = context.get("cell", {}).get("attachments", {})
        return MarkdownWithMath(renderer=Renderer(escape=False, attachments=attachments)).render(source)

    def from_notebook_node(self, nb: NotebookNode, resources: dict | None = None, **options: Any) -> tuple[str, dict]:
        """The page, and what nbconvert keeps beside it."""
        page, resources = super().from_notebook_node(with_described_figures(without_widgets(nb)), resources, **options)
        return with_engine(page), resources
