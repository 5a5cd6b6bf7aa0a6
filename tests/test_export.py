"""Notebooks as pages: formulas, widgets without a kernel, closed exercises, and the exporter that nbconvert finds."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbconvert.exporters import get_exporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from walkthrough import export

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "00_start_here.ipynb"


@pytest.mark.parametrize(
    ("latex", "parts"),
    [
        (r"\frac{QK^T}{\sqrt{d_{\text{head}}}}", {"mfrac": 1, "msqrt": 1, "msup": 1, "msub": 1, "mtext": 1}),
        (r"W_{OV}^h \otimes \mathrm{Id}", {"msubsup": 1}),
        (r"\begin{aligned} a &= b \\ c &= d \end{aligned}", {"mtable": 1, "mtr": 2, "mtd": 4}),
        (r"\operatorname{softmax}(x)_i = \frac{e^{x_i}}{\sum_j e^{x_j}}", {"mfrac": 1}),
        (r"\log_2 x + \ln 2", {"msub": 1, "mspace": 1}),
        (r"a < b", {"mo": 1}),
    ],
)
def test_formulas_become_mathml(latex, parts):
    tags = [element.tag.rpartition("}")[2] for element in ET.fromstring(export.mathml(latex)).iter()]
    assert {tag: tags.count(tag) for tag in parts} == parts
    assert not re.search(r"[\\$]", export.mathml(latex))


def test_scripts_have_as_many_parts_as_they_may():
    """A space after a function must not become the index of a logarithm."""
    for latex in (r"\log_2 x", r"\sin^2 x", r"\lim_{x \to 0} x"):
        for element in ET.fromstring(export.mathml(latex)).iter():
            if element.tag.endswith(("}msub", "}msup", "}munder")):
                assert len(element) == 2


@pytest.mark.parametrize("latex", [r"\nosuchcommand{x}", "a & b"])
def test_what_cannot_be_mathml_is_refused(latex):
    with pytest.raises(ValueError, match="no MathML for"):
        export.mathml(latex)


def widget(model_id, **data):
    return new_output("display_data", {export.WIDGET_VIEW: {"model_id": model_id}, "text/plain": "VBox(…)", **data})


def one_output(output):
    notebook = new_notebook(cells=[new_code_cell("x", outputs=[output])])
    notebook.metadata["widgets"] = {"state": {}}
    before = nbformat.writes(notebook)
    shown = export.without_widgets(notebook)
    assert nbformat.writes(notebook) == before
    assert "widgets" not in shown.metadata
    return [dict(output.data) for output in shown.cells[0].outputs]


def test_a_widget_with_html_is_its_html():
    assert one_output(widget("box", **{"text/html": "<p>"})) == [{"text/plain": "VBox(…)", "text/html": "<p>"}]


def test_a_widget_without_html_is_nothing():
    assert one_output(widget("slider")) == []


def test_what_is_no_widget_stays():
    assert one_output(new_output("display_data", {"text/plain": "1"})) == [{"text/plain": "1"}]
    stream = new_notebook(cells=[new_code_cell("x", outputs=[new_output("stream", text="1")])])
    assert export.without_widgets(stream).cells[0].outputs[0].text == "1"


def test_an_exercise_is_closed_with_its_check_and_nothing_else():
    cells = [
        new_markdown_cell("Before.\n\n## 5\n\n**Exercise 1.2** (10 minutes). Do it.\n\n<details>hint</details>"),
        new_code_cell('check("1.2", f)'),
        new_markdown_cell("See Exercise 1.2."),
        new_code_cell("check(2)"),
    ]
    sources = [cell.source for cell in export.with_closed_exercises(new_notebook(cells=cells)).cells]
    assert sources == [
        "Before.\n\n## 5",
        '<details class="exercise"><summary>Exercise 1.2 <small>10 minutes</small></summary>',
        "Do it.\n\n<details>hint</details>",
        'check("1.2", f)',
        "</details>",
        "See Exercise 1.2.",
        "check(2)",
    ]


def test_a_figure_is_described_in_its_cell_and_its_caption_is_not_read_twice():
    alt = 'a "falling" line, from 1 to 0'
    figure = new_output("display_data", {"image/png": "x"}, metadata={"image/png": {"alt": alt, "drawing": True}})
    caption = new_output("display_data", {"text/html": f"{export.CAPTION}x</p>"})
    notebook = new_notebook(cells=[new_code_cell("f()", outputs=[figure, caption]), new_code_cell("1")])
    described = export.with_described_figures(notebook)
    assert described.cells[0].metadata == {"mystnb": {"image": {"alt": alt, "classes": "wt-drawing"}}}
    assert described.cells[0].outputs[1].data["text/html"] == '<p class="wt-caption" aria-hidden="true">x</p>'
    assert notebook.cells[0].metadata == described.cells[1].metadata == {}
    text, _ = get_exporter("offline")().from_notebook_node(notebook)
    assert [image["alt"] for image in BeautifulSoup(text, "html.parser").select("img")] == [alt]


@pytest.fixture(scope="module")
def page():
    text, resources = get_exporter("offline")().from_filename(NOTEBOOK)
    assert resources["output_extension"] == ".html"
    return text


def test_jupyterlab_offers_the_exporter():
    assert get_exporter("offline").export_from_notebook == "HTML (offline)"


def test_the_exported_page_is_one_file_without_libraries(page):
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", re.sub(r"<a [^>]*>", "", page))
    assert not re.search(r"(?:url\(|@import|import\(|from )\s*[\"']?(?:https?:)?//", page)
    assert not re.search("mathjax|require.min.js|jquery|mermaid.esm|html-manager", page, re.I)
    assert "<style" in page


def test_the_exported_page_has_formulas_and_pictures_and_no_widget(page):
    cells = nbformat.read(NOTEBOOK, 4).cells
    formulas = sum(
        len(re.findall(r"\$\$[^$]+\$\$|\$[^$]+\$", cell.source)) for cell in cells if cell.cell_type == "markdown"
    )
    assert page.count("<math") == formulas > 0
    assert page.count("data:image/png;base64") >= sum("image/png" in str(cell.get("outputs")) for cell in cells) > 0
    outputs = [o for cell in cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    stored = [output.metadata["image/png"]["alt"] for output in outputs if "text/html" not in output.data]
    described = [image["alt"] for image in BeautifulSoup(page, "html.parser").select("img")]
    assert [alt for alt in described if alt in stored] == stored != []
    assert all(described)
    assert "widget-view" not in page
    assert "VBox(" not in page
