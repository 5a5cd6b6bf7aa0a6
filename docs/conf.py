"""Sphinx's settings for the course's site, which `python docs/build.py` builds."""

import re
import sys
import tomllib
from pathlib import Path

import nbformat
from docutils import nodes
from sphinx.application import Sphinx

from walkthrough import export

sys.path.insert(0, str(Path(__file__).parent))
import publishing

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]

project = html_title = "walkthrough"
author = "the authors of the course"
extensions = ["myst_nb", "sphinx.ext.githubpages", "publishing", "front"]
exclude_patterns = ["README.md"]  # its sections are included by our pages
nb_execution_mode = "off"
nb_ipywidgets_js = {}
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"
html_theme = "sphinx_book_theme"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_favicon = "_static/favicon.svg"
html_use_index = False
html_baseurl = publishing.site_address(PROJECT["urls"])
site_description = (
    "Watch an induction head find a name, ablate it, and see the prediction go. A hands-on course in mechanistic interpretability: "
    "take trained transformers apart on your laptop."
)
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_theme_options = {
    "repository_url": REPOSITORY,
    "repository_branch": "main",
    "use_repository_button": True,
    "show_toc_level": 2,
    "launch_buttons": {
        "binderhub_url": "https://mybinder.org",
        "colab_url": "https://colab.research.google.com",
        "notebook_interface": "jupyterlab",
    },
}


def prepare(app: Sphinx, page: str, source: list[str]) -> None:
    """Before Sphinx reads a page: close the exercises, take out widgets, describe figures, fill in the repository's address."""
    if app.env.doc2path(page).suffix == ".ipynb":
        notebook = export.with_described_figures(export.without_widgets(nbformat.reads(source[0], 4)))
        source[0] = nbformat.writes(export.with_closed_exercises(notebook))
    else:
        source[0] = source[0].replace("@REPOSITORY@", REPOSITORY)


def formula(writer, node) -> None:
    """Write a formula as MathML, and not also the LaTeX that is its text."""
    latex, block = node.astext(), isinstance(node, nodes.math_block)
    found = export.mathml(latex, block=block)
    signs = len(re.sub(r"<[^>]+>|\s", "", found))  # how wide it is, nearly: on a phone, long ones are set smaller
    if block:
        found = f'<div class="math" style="--signs: {max(signs, 1)}">{found}</div>'
    elif len(latex) > 30:  # wider than a phone, perhaps: it gets a box that scrolls
        found = f'<span class="wide-math" style="--signs: {max(signs, 1)}">{found}</span>'
    writer.body.append(found)
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """What Sphinx calls."""
    app.connect("source-read", prepare)
    app.add_html_math_renderer("mathml", (formula, None), (formula, None))
