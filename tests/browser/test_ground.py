"""What the browser tests rely on can fail: each watcher sees what it is there to see."""

import driving
import pytest

PAGE = """<!doctype html><html lang="en"><title>A page</title>
<style>body {{ color: #222; background: #fff }} [data-theme=dark] body {{ color: #444; background: #222 }}</style>
<main><h1>A page</h1>{}</main></html>"""


@pytest.fixture
def show(page, tmp_path):
    """Opens a page with this in its body."""

    def open_page(body):
        (tmp_path / "page.html").write_text(PAGE.format(body), encoding="utf-8")
        page.goto((tmp_path / "page.html").as_uri())
        return page

    return open_page


@pytest.fixture(params=["lab", "notebook7"])
def server(request):
    return request.getfixturevalue(request.param)


def test_requests_to_other_hosts_are_recorded(page, show):
    outside = driving.outside_requests(page)
    show("<p>Nothing.</p>")
    assert outside == []
    with page.expect_websocket():
        show("<img src='https://example.org/x.png' alt=''><script>new WebSocket('wss://example.org/y')</script>")
    assert sorted(outside) == ["https://example.org/x.png", "wss://example.org/y"]


def test_axe_finds_nothing_in_a_plain_page(show):
    page = show("<p>Text</p><button>Go</button><iframe title='inner' srcdoc='<p>Text</p>'></iframe>")
    assert driving.axe_violations(page) == []


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ("<button></button>", "button-name"),
        ("<p style='color: #bbb'>Pale</p>", "color-contrast"),
        ("<iframe sandbox='allow-scripts' title='inner' srcdoc='<button></button>'></iframe>", "button-name"),
    ],
)
def test_axe_finds_a_serious_violation(show, body, rule):
    (found,) = driving.axe_violations(show(body))
    assert rule in found


def test_axe_looks_only_where_it_is_told(show):
    page = show("<button></button><p id='here'>Text</p>")
    assert driving.axe_violations(page, "#here") == []


def test_a_static_page_has_two_themes(show):
    page = show("<p>Grey on black, when dark</p>")
    for theme, found in (("light", False), ("dark", True)):
        driving.set_theme(page, theme)
        assert page.evaluate(f"matchMedia('(prefers-color-scheme: {theme})').matches")
        assert any("color-contrast" in line for line in driving.axe_violations(page)) is found


def test_a_notebook_without_troubles(page, server):
    outside = driving.outside_requests(page, server)
    driving.open_notebook(page, server, server.write("good", "1 + 1", "print('good')"))
    assert driving.troubles(page) == ["cell 0 was not run", "cell 1 was not run"]
    driving.run_all_cells(page)
    assert driving.troubles(page) == []
    assert [cell.execution_count for cell in driving.notebook(page).cells] == [1, 2]
    for theme in ("dark", "light"):
        driving.set_theme(page, theme)
        assert page.locator(f"body[data-jp-theme-light={str(theme == 'light').lower()}]").count() == 1
        assert driving.axe_violations(page, ".jp-OutputArea-output") == []
    assert outside == []


def test_an_error_out_of_view_is_a_trouble(page, lab):
    """JupyterLab may keep in the DOM only what is in view."""
    sources = ["print('tall\\n' * 30)"] * 30 + ["1 / 0", "2 + 2"]
    driving.open_notebook(page, lab, lab.write("late_error", *sources))
    page.evaluate("""() => {
        const notebook = jupyterapp.shell.currentWidget.content
        notebook.notebookConfig = {...notebook.notebookConfig, windowingMode: 'full'}
    }""")
    driving.run_all_cells(page)
    page.evaluate("() => jupyterapp.shell.currentWidget.content.scrollToItem(0)")
    page.wait_for_selector(".jp-RenderedText:has-text('ZeroDivisionError')", state="hidden")
    assert driving.troubles(page) == ["cell 30: ZeroDivisionError: division by zero", "cell 31 was not run"]


def test_stderr_and_an_error_inside_a_widget_are_troubles(page, lab):
    sources = [
        "import sys\nprint('no', file=sys.stderr)",
        "import ipywidgets\n_ = ipywidgets.interact(lambda x: 1 / x, x=0)",
    ]
    driving.open_notebook(page, lab, lab.write("widget_error", *sources))
    driving.run_all_cells(page)
    assert driving.troubles(page) == ["cell 0: no\n", "not in a cell: ZeroDivisionError: division by zero"]
