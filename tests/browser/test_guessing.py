"""A place for the guess in a real JupyterLab, by pointer and keys, before the answer and after it; and without a kernel."""

import driving
from nbconvert.exporters import get_exporter
from regenerate import regenerate

SOURCES = [
    "from walkthrough import widgets\n"
    "which = widgets.Guess('Which of the eight heads of layer 0 look one token back, from almost every token of any text "
    "that you give them, be it prose or code?', ['none of them', 'one or two', 'more than half of them, but not those that "
    "a head of a later layer reads as its keys or as its queries'])\nwhich",
    "much = widgets.Guess('How much does the second copy gain?', unit='nats')\nmuch",
    "which.answer('one or two')\nmuch.answer(2.5)",
]


def test_a_guess_is_answered_in_jupyterlab_before_and_after(page, lab):
    outside = driving.outside_requests(page, lab)
    driving.open_notebook(page, lab, lab.write("guess", *SOURCES))
    page.evaluate("() => jupyterapp.commands.execute('notebook:run-cell-and-select-next')")
    page.evaluate("() => jupyterapp.commands.execute('notebook:run-cell-and-select-next')")
    which, much = page.locator("fieldset.wt-guess").nth(0), page.locator("fieldset.wt-guess").nth(1)
    much.wait_for()
    which.get_by_label("none of them").check()
    which.get_by_text("Noted. The next cells will tell.").wait_for()
    page.keyboard.press("ArrowDown")
    assert which.get_by_label("one or two").is_checked()
    page.evaluate("() => jupyterapp.shell.currentWidget.content.activeCell.node.focus()")
    for _ in range(20):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.type") == "radio":
            break
    assert page.evaluate("document.activeElement.value") == "one or two"
    page.keyboard.press("ArrowDown")
    field = much.get_by_label("my guess")
    field.fill("<b>")
    field.press("Enter")
    much.get_by_text("'<b>' is not a number").wait_for()
    field.fill("2.25")
    field.press("Enter")
    much.get_by_text("Noted.").wait_for()
    driving.keep_picture(page, "guess_noted")
    page.locator(".jp-CodeCell").nth(2).locator(".cm-content").click()
    page.evaluate("() => jupyterapp.commands.execute('notebook:run-cell')")
    which.get_by_text("Answer: one or two. You guessed: more than half").wait_for()
    much.get_by_text("Answer: 2.5 nats. You guessed: 2.25 nats.").wait_for()
    page.locator(".jp-RenderedText", has_text="You guessed: 2.25 nats.").wait_for()
    which.get_by_label("one or two").check()
    which.get_by_text("Answer: one or two. You guessed: one or two.").wait_for()
    for theme in ("dark", "light"):
        driving.set_theme(page, theme)
        assert driving.axe_violations(page, ".jp-OutputArea-output") == []
        driving.keep_picture(page, f"guess_{theme}")
    driving.resize(page, 900)
    assert which.evaluate("box => box.scrollWidth <= box.clientWidth")
    driving.keep_picture(page, "guess_narrow")
    assert driving.troubles(page) == []
    assert outside == []


def test_where_nothing_was_run_a_guess_is_text(page, lab, tmp_path):
    name = lab.write("guess_stored", *SOURCES)
    regenerate(lab.root / f"{name}.ipynb")
    driving.open_notebook(page, lab, name)
    page.locator(".wt-guess li").nth(2).wait_for()
    assert page.locator("fieldset").count() == 0
    for theme in ("dark", "light"):
        driving.set_theme(page, theme)
        assert driving.axe_violations(page, ".jp-OutputArea-output") == []
        driving.keep_picture(page, f"guess_stored_{theme}")
    html, _ = get_exporter("offline")().from_filename(lab.root / f"{name}.ipynb")
    (tmp_path / "guess.html").write_text(html, encoding="utf-8")
    page.goto((tmp_path / "guess.html").as_uri())
    assert page.locator(".wt-guess li").count() == 3
    assert driving.axe_violations(page, ".wt-guess") == []
    driving.keep_picture(page, "guess_exported")
