"""Explorers in JupyterLabs that are set up otherwise: a hub's server without anywidget; windowing `full`."""

import json

import driving
import pytest

KINDS = ("Attention", "Circuit", "Logit", "Composition")
EXPLORERS = [
    f"from walkthrough import widgets\nwidgets.{kind}Explorer('two-layer', 'for i in range(i)')" for kind in KINDS
]
GUESS = "from walkthrough import widgets\nwidgets.Guess('Which head looks back?', ['one', 'none'])"
# How many canvases a cell's explorer has, if it is seen and none of them is of one colour.
DRAWN = """cell => {
    const explorer = jupyterapp.shell.currentWidget.content.widgets[cell].node.querySelector('.wt[data-drawn]')
    if (!explorer?.checkVisibility()) return null
    const canvases = [...explorer.querySelectorAll('canvas')].filter(canvas => canvas.width && canvas.height)
    return canvases.every(canvas => {
        const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer
        return new Set(new Uint32Array(pixels)).size > 1
    }) ? {canvases: canvases.length} : null
}"""
GONE = "cell => !jupyterapp.shell.currentWidget.content.widgets[cell].node.querySelector('.wt')?.checkVisibility()"
SCROLL = "cell => jupyterapp.shell.currentWidget.content.scrollToItem(cell)"


@pytest.fixture(scope="module")
def hub(chromium, tmp_path_factory):
    """A JupyterLab server that has ipywidgets but no anywidget, while the kernels have both."""
    folder = tmp_path_factory.mktemp("hub")
    settings = folder / "config" / "labconfig" / "page_config.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"disabledExtensions": {"anywidget": True}}), encoding="utf-8")
    with driving.serve("jupyterlab", folder) as server:
        yield server


def test_where_the_server_lacks_anywidget_there_are_pictures_and_a_sentence(context, hub):
    page = context.new_page()
    driving.open_notebook(page, hub, hub.write("hub", *EXPLORERS, GUESS))
    driving.run_all_cells(page)
    page.locator(".jupyter-widgets-error-widget").nth(4).wait_for(state="attached")
    for place in page.locator(".wt-instead").all():
        place.scroll_into_view_if_needed()
        assert "environment that it was started from has no anywidget" in place.inner_text()
    assert page.locator(".wt-instead:visible").count() == 5
    driving.loaded(page, ".wt-instead img", 4)
    assert page.locator(".jupyter-widgets-error-widget:visible").count() == 0
    assert "Failed to load" not in page.inner_text(".jp-Notebook")
    assert driving.troubles(page) == []
    for theme in ("dark", "light"):
        driving.set_theme(page, theme)
        assert driving.axe_violations(page, ".wt-instead") == []
        driving.keep_picture(page, f"hub_{theme}")
    driving.close(page)


def test_where_it_does_not_nothing_is_said_in_the_widgets_place(page, lab):
    driving.open_notebook(page, lab, lab.write("no_hub", EXPLORERS[0], GUESS))
    driving.run_all_cells(page)
    page.wait_for_selector(".wt-token")
    page.wait_for_selector("fieldset.wt-guess")
    assert page.locator(".wt-instead").count() == 2
    assert page.locator(".wt-instead:visible").count() == 0


def test_figures_are_pictures_in_the_kernels_that_run_the_notebooks(page, lab):
    name = lab.write("figure", "import matplotlib.pyplot as plt\nplt.plot([1, 2])", "from walkthrough import figures")
    driving.open_notebook(page, lab, name)
    driving.run_all_cells(page)
    assert any("image/png" in output.get("data", {}) for output in driving.notebook(page).cells[0].outputs)


def test_in_a_windowed_notebook_what_was_scrolled_away_is_still_drawn(page, lab):
    tall = ["print('tall\\n' * 60)"] * 12
    driving.open_notebook(page, lab, lab.write("windowed", *EXPLORERS, *tall))
    page.evaluate("""() => {
        const notebook = jupyterapp.shell.currentWidget.content
        notebook.notebookConfig = {...notebook.notebookConfig, windowingMode: 'full'}
    }""")
    driving.run_all_cells(page)

    def drawn(cell):
        page.evaluate(SCROLL, cell)
        return page.wait_for_function(DRAWN, arg=cell).json_value()

    for cell, kind in enumerate(KINDS):
        before = drawn(cell)
        assert (before["canvases"] > 0) == (kind in ("Attention", "Composition"))
        page.evaluate(SCROLL, 15)
        page.wait_for_function(GONE, arg=cell)
        assert drawn(cell) == before
        driving.keep_picture(page, f"windowed_{cell}")
