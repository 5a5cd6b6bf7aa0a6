"""A figure is shown once, with its description in the output's metadata and below it."""

import matplotlib.pyplot as plt
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from walkthrough import figures

SOURCE = "import matplotlib.pyplot as plt\nfrom walkthrough import figures\n_ = plt.plot([1, 0])\n"


@pytest.fixture(scope="module")
def outputs():
    nb = new_notebook(cells=[new_code_cell(f"{SOURCE}figures.show('a line: it falls from 1 to < 0.5')")])
    NotebookClient(nb, kernel_name="python3", timeout=100).execute()
    return nb.cells[0].outputs


def test_in_a_notebook_it_is_shown_once_and_says_what_is_seen(outputs):
    figure, caption = outputs
    assert figure.metadata["image/png"]["alt"] == caption.data["text/plain"] == "a line: it falls from 1 to < 0.5"
    assert "it falls from 1 to &lt; 0.5" in caption.data["text/html"]
    assert "drawing" not in figure.metadata["image/png"]


def test_what_says_nothing_is_refused():
    plt.figure()
    with pytest.raises(ValueError, match="give a sentence"):
        figures.show("a figure")
    plt.close("all")
    with pytest.raises(ValueError, match="no figure to show"):
        figures.show("a line that falls from 1 to 0")


def test_a_drawing_is_marked_and_the_figure_is_closed(capsys):
    plt.figure()
    figures.show("two boxes and an arrow between them", drawing=True)
    assert plt.get_fignums() == []
    assert "two boxes and an arrow between them" in capsys.readouterr().out
