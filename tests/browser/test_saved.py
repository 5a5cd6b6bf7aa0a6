"""Explorers in notebooks that are opened without a kernel having run them: saved by JupyterLab, or as the course ships them."""

import os
import subprocess
import sys

import driving

KINDS = ("Attention", "Circuit", "Logit", "Composition")
SOURCES = [
    f"from walkthrough import widgets\nwidgets.{kind}Explorer('two-layer', 'for i in range(i)')" for kind in KINDS
]


def test_a_notebook_that_jupyterlab_saves_keeps_its_explorers(context, page, lab):
    outside = driving.outside_requests(page, lab)
    driving.open_notebook(page, lab, lab.write("saved", *SOURCES))
    driving.run_all_cells(page)
    page.wait_for_function("() => document.querySelectorAll('.wt[data-drawn]').length === 4")
    page.click(".wt-head[data-head='3']")
    page.wait_for_selector(".wt-head[data-head='3'][aria-pressed='true']")
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    assert "widgets" in lab.read("saved").metadata
    assert (lab.root / "saved.ipynb").stat().st_size < 1_000_000
    page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    again = context.new_page()
    driving.open_notebook(again, lab, "saved")
    again.wait_for_function("() => document.querySelectorAll('.wt[data-drawn]').length === 4")
    again.wait_for_selector(".wt-head[data-head='3'][aria-pressed='true']")
    again.hover("[aria-label='Attention explorer'] .wt-token >> nth=2")
    again.wait_for_selector("[aria-label='Attention explorer'] .wt-body[data-query='2']")
    again.fill(".wt-prompt >> nth=0", "something else")
    again.keyboard.press("Enter")
    again.wait_for_function("() => document.querySelector('.wt-message').textContent.includes('does not answer')")
    for theme in ("light", "dark"):
        driving.set_theme(again, theme)
        again.wait_for_timeout(500)
        driving.keep_picture(again, f"saved_{theme}")
    driving.close(again)
    assert outside == []


def test_the_course_as_it_ships_shows_tables_until_it_is_trusted_and_explorers_then(context, page, lab):
    name = "00_start_here"
    driving.open_notebook(page, lab, name)
    page.wait_for_selector(".wt table >> nth=0")
    assert page.locator(".wt-token").count() == 0
    own = {f"JUPYTER_{kind}_DIR": str(lab.root.parent / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    command = [sys.executable, "-m", "jupyter", "trust", str(lab.root / f"{name}.ipynb")]
    subprocess.run(command, env=os.environ | own, check=True)
    again = context.new_page()
    outside = driving.outside_requests(again, lab)
    driving.open_notebook(again, lab, name)
    again.wait_for_selector(".wt-token >> nth=3")
    again.hover(".wt-token >> nth=3")
    again.wait_for_selector(".wt-body[data-query='3']")
    assert outside == []
    driving.close(again)
