"""The training monitor in a real JupyterLab: clicks while it trains, an interrupt, and going on; and without a kernel."""

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import driving
import pytest
from test_live import TINY, LiveRun, replace, sequences

from walkthrough import widgets

CELLS = [
    f"import os, sys\nsys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
    "os.environ.pop('WALKTHROUGH_LIVE_TOKENS', None)\n"  # pytest's --nbval makes runs short; an interrupt comes later
    "from test_live import LiveRun, TINY, replace, sequences\nfrom walkthrough import widgets\n"
    "run = LiveRun(replace(TINY, steps=1_000_000), sequences())\nmonitor = widgets.TrainingMonitor(run)",
    "await monitor.run()",
    "print(run.edits)",
]


def state(page, name):
    """Wait until the page shows this state of the run."""
    page.wait_for_selector(f".wt-body[data-state='{name}']")


def learnt(page):
    """How many tokens the page shows."""
    return int(page.inner_text(".wt-progress").split()[0].replace(",", ""))


def run_cell(page, index):
    """Run one cell, and do not wait."""
    page.evaluate(
        """index => {
        jupyterapp.shell.currentWidget.content.activeCellIndex = index
        void jupyterapp.commands.execute('notebook:run-cell')
    }""",
        index,
    )


def test_clicks_arrive_while_it_trains_and_an_interrupt_loses_nothing(page, lab):
    outside = driving.outside_requests(page, lab)
    driving.open_notebook(page, lab, lab.write("training", *CELLS))
    run_cell(page, 0)
    run_cell(page, 1)
    state(page, "running")
    page.wait_for_function("() => document.querySelector('.wt-body').dataset.measured > 3")
    page.click("[data-head='1:0']")
    page.get_by_text(re.compile(r"Head 1:0 ablated after [\d,]+ tokens")).wait_for()
    page.wait_for_selector("[data-head='1:0']:text-is('restore')")  # the answer comes before what it changes
    page.focus(".wt-pause")
    page.keyboard.press("Enter")
    state(page, "paused")
    paused = learnt(page)
    page.wait_for_timeout(600)
    assert learnt(page) == paused
    driving.look_in_both_themes(page, "training_paused")
    page.press(".wt-pause", "Space")
    state(page, "running")
    page.wait_for_function(
        f"() => +document.querySelector('.wt-progress').innerText.split(' ')[0].replaceAll(',', '') > {paused}"
    )
    page.evaluate("() => void jupyterapp.commands.execute('notebook:interrupt-kernel')")
    state(page, "resting")
    page.get_by_text("nothing is lost: run the cell again").wait_for()
    page.wait_for_function("() => jupyterapp.shell.currentWidget.content.widgets[1].prompt !== '*'")
    interrupted = learnt(page)
    page.click("[data-head='1:0']")  # between cells
    page.get_by_text("Head 1:0 restored").wait_for()
    run_cell(page, 1)
    state(page, "running")
    page.wait_for_function(
        f"() => +document.querySelector('.wt-progress').innerText.split(' ')[0].replaceAll(',', '') > {interrupted}"
    )
    page.click(".wt-stop")
    state(page, "resting")
    run_cell(page, 2)
    page.get_by_text("(1, 0)), (").wait_for()
    page.wait_for_function("() => jupyterapp.shell.currentWidget.content.widgets[2].prompt !== '*'")
    widget, below = driving.notebook(page).cells[1].outputs
    assert widget.data["text/html"] == '<div class="wt-live"></div>'
    assert "Head 1:0 was restored" in below.data["text/html"]
    assert page.locator(".wt-body").count() == 1  # the page below is not seen beside the widget
    (edits,) = driving.notebook(page).cells[2].outputs
    assert re.fullmatch(r"\[\(\d+, 'ablate', \(1, 0\)\), \(\d+, 'restore', \(1, 0\)\)\]\n", edits.text)
    assert [text for text in driving.heard(page) if "CancelledError" not in text] == []
    assert outside == []


@pytest.fixture(scope="module")
def finished():
    monitor = widgets.TrainingMonitor(LiveRun(replace(TINY, steps=200), sequences()))
    monitor.live.ablate((0, 1))
    with ThreadPoolExecutor() as elsewhere:  # playwright has a loop of its own in this thread
        elsewhere.submit(asyncio.run, monitor.run(tokens=64 * 40)).result()
    return monitor


def test_the_page_is_alive_without_a_kernel(page, tmp_path, finished):
    outside, faults = driving.outside_requests(page), []
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    (tmp_path / "page.html").write_text(f'<!doctype html><meta charset="utf-8">{finished.page() * 2}', encoding="utf-8")
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_selector(".wt-body[data-state='resting'] >> nth=1")
    first, history = page.locator(".wt").first, finished.live.history
    assert first.locator("button").count() == 0  # nobody hears a click
    slider = first.locator(".wt-when")
    slider.focus()
    page.keyboard.press("Home")
    assert slider.get_attribute("aria-valuetext") == "0 tokens"
    page.keyboard.press("ArrowRight")
    for layer, head in ((0, 0), (1, 1)):
        scores = [history[1][kind][layer][head] for kind in ("prefix_matching", "previous_token")]
        assert first.locator(
            f"[data-card='{layer}:{head}'] small"
        ).inner_text() == "prefix {:.2f} · previous {:.2f}".format(*scores)
    first.locator(".wt-tables > summary").click()
    first.locator(".wt-tables table").nth(2).wait_for()  # filled when it has opened
    for table, kind in ((1, "prefix_matching"), (2, "previous_token")):
        cells = first.locator(".wt-tables table").nth(table).locator("tr").nth(2).locator("td").all_inner_texts()
        assert cells == [f"{score:.2f}" for layer in history[1][kind] for score in layer]
    first.locator(".wt-tables > summary").click()
    first.locator(".wt-whose").select_option("1:1")
    assert "head 1:1" in first.locator(".wt-looks").inner_text()
    for x in (40, 36):
        first.locator("[data-chart='loss'] div").hover(position={"x": x, "y": 40})
    page.wait_for_function("() => document.querySelector('.wt-when').value === '0'")
    label = first.locator("[data-chart='previous_token'] svg").get_attribute("aria-label")
    assert re.match(r"previous-token scores after [\d,]+ tokens; the highest: head \d:\d, 0\.\d\d", label)
    for width in (1000, 420):
        driving.resize(page, width)
        assert first.evaluate("box => box.scrollWidth <= box.clientWidth")
    driving.look_in_both_themes(page, "training_page")
    assert (outside, faults) == ([], [])


def test_without_scripts_there_is_a_picture_and_tables(chrome, tmp_path, finished):
    (tmp_path / "page.html").write_text(finished.page(), encoding="utf-8")
    context = chrome.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    assert page.locator(".wt img").get_attribute("alt") == finished.described()
    assert page.locator(".wt table").count() == 2
    context.close()


def test_where_no_kernel_answers_one_sentence_says_so(page, tmp_path, finished):
    state = json.dumps({"packed": finished.packed})
    (tmp_path / "page.html").write_text(f"""<!doctype html><main id="a"></main><script type="module">{finished._script}
        const state = {state};
        const model = {{ get: (key) => state[key], on() {{}}, off() {{}}, send() {{}}, widget_manager: {{}} }};
        watch({{ model, el: document.getElementById("a") }}, draw, "Training monitor");</script>""", encoding="utf-8")  # fmt: skip
    page.goto((tmp_path / "page.html").as_uri())
    page.click("[data-head='1:1']")
    assert page.locator(".wt-message").inner_text() == "Ablating head 1:1 …"
    page.get_by_text("The kernel does not answer").wait_for()
    assert page.locator(".wt-pause").is_disabled()
