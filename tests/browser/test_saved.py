"""Explorers in notebooks that are opened without a kernel having run them: saved by JupyterLab, or as the course ships them."""

import os
import subprocess
import sys

import driving
from regenerate import regenerate

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
        driving.keep_picture(again, f"saved_{theme}")
    driving.close(again)
    assert outside == []


def test_a_notebook_just_opened_shows_pictures_until_it_is_trusted_and_explorers_then(context, page, lab):
    name = lab.write("shipped", *SOURCES)
    regenerate(lab.root / f"{name}.ipynb")
    driving.open_notebook(page, lab, name)
    pictures = page.locator(".jp-OutputArea img")
    pictures.nth(3).wait_for()
    driving.loaded(page, ".jp-OutputArea img", 4)
    assert len(set(pictures.evaluate_all("all => all.map(image => image.alt)"))) == 4
    assert page.locator(".wt > p:first-child").nth(3).inner_text().startswith("This is a still picture of the")
    assert page.locator(".wt-token, .jp-OutputArea script").count() == 0
    table = page.locator(".wt table").first
    assert not table.is_visible()
    for theme in ("dark", "light"):
        driving.set_theme(page, theme)
        assert driving.axe_violations(page, ".jp-OutputArea-output") == []
        driving.keep_picture(page, f"untrusted_{theme}")
    page.locator(".wt summary").first.click()
    assert table.is_visible()
    driving.keep_picture(page, "untrusted_tables")
    own = {f"JUPYTER_{kind}_DIR": str(lab.root.parent / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    command = [sys.executable, "-m", "jupyter", "trust", str(lab.root / f"{name}.ipynb")]
    subprocess.run(command, env=os.environ | own, check=True)
    again = context.new_page()
    outside = driving.outside_requests(again, lab)
    driving.open_notebook(again, lab, name)
    again.wait_for_selector(".wt-token >> nth=3")
    again.hover(".wt-token >> nth=3")
    again.wait_for_selector(".wt-body[data-query='3']")
    again.wait_for_function("() => document.querySelectorAll('.wt[data-drawn]').length === 4")
    assert again.locator(".wt img").count() == 0
    assert outside == []
    driving.keep_picture(again, "trusted")
    driving.close(again)


def test_trusting_the_notebook_that_is_open_brings_its_explorers_alive(page, lab):
    name = lab.write("asked", SOURCES[0])
    regenerate(lab.root / f"{name}.ipynb")
    driving.open_notebook(page, lab, name)
    page.locator(".jp-OutputArea img").wait_for()
    # ipywidgets reads what a notebook stores a moment after the kernel is there: whoever trusts before, as no hand can,
    # is told "model not found" until the page is loaded again.
    page.wait_for_timeout(5000)
    page.evaluate("() => void jupyterapp.commands.execute('notebook:trust')")
    page.click(".jp-Dialog .jp-mod-accept")
    page.wait_for_selector(".wt-token >> nth=3")
    assert page.locator(".wt img").count() == 0
