"""The built site and an exported notebook in a real browser, which reads them without any network."""

import re
from pathlib import Path

import driving
import pytest
from nbconvert.exporters import get_exporter
from site_fixture import DESK, PHONE

pytest_plugins = ["site_fixture"]
NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
PAGES = [
    "index",
    "start",
    "launch",
    "training",
    "models",
    "functions",
    "search",
    "notebooks/glossary",
    "notebooks/instructors_guide",
    *(f"notebooks/{p.stem}" for p in NOTEBOOKS),
]
EXPLORERS = {p.stem: n for p in NOTEBOOKS if (n := len(re.findall(r'"\w+Explorer\(', p.read_text("utf-8"))))}
HARD_MATHS = (
    r"\begin{aligned} a &= \frac{QK^T}{\sqrt{d_{\text{head}}}} \\ longer &= \operatorname{softmax}(x)_i \end{aligned}"
)
TOO_WIDE = """width => [...document.querySelectorAll('.bd-main math')].filter(formula => {
    const room = formula.closest('div.math, .wide-math')?.clientWidth ?? width
    return formula.getBoundingClientRect().width > room + 1
}).map(formula => formula.textContent)"""
# The page's engine draws what was asked for, or a sentence says why not: no kernel, and a model that does not ship.
ANSWERED = "([root, drawn]) => root.dataset.drawn !== drawn || root.querySelector('.wt-message').textContent.includes('kernel')"
# Each explorer is drawn: at first it is a picture.
ALIVE = "() => document.querySelectorAll('.wt:not([data-drawn]) img').length === 0"
STICKS_OUT = """() => [...document.querySelectorAll('.bd-main *')].filter(element => {
    if (element.getBoundingClientRect().right <= innerWidth + 1) return false
    for (let box = element; box; box = box.parentElement)
        if (getComputedStyle(box).overflowX !== 'visible' || getComputedStyle(box).position === 'fixed') return false
    return true
}).map(element => element.outerHTML.slice(0, 100))"""

# Texts of explorers that are drawn smaller than anybody reads, as where a chart is scaled to fit.
SMALL = """() => [...document.querySelectorAll('.wt *')].filter(element => element.checkVisibility()
    && [...element.childNodes].some(child => child.nodeType === Node.TEXT_NODE && child.data.trim())).filter(element => {
    const place = element.getScreenCTM?.(), scale = place ? Math.hypot(place.a, place.b) : 1
    return scale * parseFloat(getComputedStyle(element).fontSize) < 11
}).map(element => element.outerHTML.slice(0, 100))"""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_nothing_of_the_outside_and_fits_a_phone(site_url, open_page, name):
    page, heard = open_page(f"{site_url}/{name}.html", site_url, PHONE)
    for details in page.query_selector_all("details"):
        details.evaluate("details => { details.open = true }")
    page.wait_for_function(ALIVE)
    driving.settle(page)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= PHONE["width"]
    assert page.evaluate(STICKS_OUT) == []
    assert page.evaluate(TOO_WIDE, PHONE["width"]) == []
    assert page.evaluate(SMALL) == []
    driving.resize(page, **DESK)  # the theme moves its side bars when a window becomes wider
    assert page.evaluate("document.scrollingElement.scrollWidth") <= DESK["width"]
    assert page.evaluate(STICKS_OUT) == []
    assert (heard.outside, heard.errors) == ([], [])


def luminance(page, selector, what):
    """Relative brightness, 0 to 1, of an element's colour; its background is the first ancestor's that has one."""
    colour = page.evaluate(
        """([selector, what]) => {
            for (let box = document.querySelector(selector); box; box = box.parentElement) {
                const colour = getComputedStyle(box)[what]
                if (colour !== 'rgba(0, 0, 0, 0)') return colour
            }
        }""",
        [selector, what],
    )
    linear = [v / 12.92 if v <= 0.04 else ((v + 0.055) / 1.055) ** 2.4
              for v in (int(n) / 255 for n in re.findall(r"\d+", colour)[:3])]  # fmt: skip
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_follow_the_system_between_light_and_dark_and_can_be_read(site_url, open_page, theme):
    page, _ = open_page(f"{site_url}/notebooks/00_start_here.html", site_url, color_scheme=theme)
    driving.settle(page)  # colours fade from light to dark
    assert (luminance(page, "body", "backgroundColor") < 0.1) == (theme == "dark")
    for selector in ("article p", "article td", "div.cell_input pre", "div.cell_output pre", "details summary", "math"):
        text, ground = (luminance(page, selector, what) for what in ("color", "backgroundColor"))
        contrast = (max(text, ground) + 0.05) / (min(text, ground) + 0.05)
        assert contrast > 4.5, selector
    page.locator("article img").first.scroll_into_view_if_needed()
    driving.keep_picture(page, f"site_00_{theme}")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_have_no_serious_fault_for_readers_who_do_not_see_them(site_url, open_page, theme):
    pytest.importorskip("axe_playwright_python", reason="axe-core comes with axe-playwright-python")
    page, _ = open_page(f"{site_url}/notebooks/00_start_here.html", site_url, color_scheme=theme)
    driving.settle(page)  # colours fade from light to dark
    assert driving.axe_violations(page, "body") == []


@pytest.mark.parametrize("name", EXPLORERS)
def test_the_explorers_of_a_page_answer_without_a_kernel(site_url, open_page, name):
    page, heard = open_page(f"{site_url}/notebooks/{name}.html", site_url)
    explorers = page.locator(".wt[data-drawn]")
    explorers.nth(EXPLORERS[name] - 1).wait_for()
    assert explorers.count() == EXPLORERS[name]
    for explorer in explorers.all():
        tokens = explorer.locator(".wt-token")
        tokens.nth(2).hover()
        tokens.nth(2).click()
        assert tokens.nth(2).get_attribute("aria-pressed") == "true"
        tokens.nth(2).press("ArrowRight")
        assert page.evaluate("document.activeElement.dataset.pos") == "3"
        page.keyboard.press("Enter")
        assert tokens.nth(3).get_attribute("aria-pressed") == "true"
        drawn = explorer.get_attribute("data-drawn")
        explorer.locator(".wt-prompt").fill("something else")
        page.keyboard.press("Enter")
        page.wait_for_function(ANSWERED, arg=[explorer.element_handle(), drawn])
        said = explorer.locator(".wt-message").inner_text()
        assert explorer.get_attribute("data-drawn") != drawn or "has no kernel" in said
    driving.keep_picture(page, f"site_{name}")
    assert (heard.outside, heard.errors) == ([], [])


@pytest.mark.parametrize("where", ["served", "disk"])
def test_search_finds_a_notebook(site, site_url, open_page, where):
    home = site_url if where == "served" else site.as_uri()
    page, heard = open_page(f"{home}/search.html?q=prefix-matching+score", home)
    page.wait_for_selector("#search-results li > a[href*='08_induction_heads.html']")  # results come one by one
    assert heard.outside == []
    if (
        where == "served"
    ):  # from the disk, a browser does not let a page read the others, for summaries of what was found
        page.wait_for_selector("#search-results p.context")
        assert heard.errors == []


def test_exercises_open_without_scripts(site_url, open_page):
    page, _ = open_page(f"{site_url}/notebooks/00_start_here.html", site_url, java_script_enabled=False)
    exercise = page.locator("details.exercise").first
    assert not exercise.locator("div.cell_input").is_visible()
    exercise.locator("> summary").click()
    assert exercise.locator("div.cell_input").is_visible()
    hint = exercise.locator("details").first
    closed = hint.bounding_box()["height"]
    hint.locator("summary").click()
    assert hint.bounding_box()["height"] > 1.5 * closed


def test_explorers_are_alive_on_the_page(site_url, open_page):
    page, heard = open_page(f"{site_url}/notebooks/00_start_here.html", site_url)
    explorer = page.locator(".wt").first
    said = explorer.locator(".wt-say").inner_text()
    explorer.locator(".wt-head").nth(4).click()
    assert explorer.locator(".wt-say").inner_text() != said
    page.wait_for_function(ALIVE)
    assert page.locator(".wt img, .wt summary:text('The same as tables')").count() == 0
    assert (heard.outside, heard.errors) == ([], [])


def look_at_the_picture(page, name):
    """Where scripts are not run, the first explorer is a picture with a sentence above, and tables that unfold below."""
    explorer = page.locator(".wt").first
    picture, table = explorer.locator("img"), explorer.locator("table").first
    assert "Run All Cells" in explorer.locator("p").first.inner_text()
    assert len(picture.get_attribute("alt").split()) > 20
    assert picture.is_visible()
    assert picture.bounding_box()["width"] > 300
    assert not table.is_visible()
    explorer.scroll_into_view_if_needed()
    driving.keep_picture(page, f"{name}_picture")
    explorer.locator("summary").click()
    assert table.is_visible()
    driving.keep_picture(page, f"{name}_tables")


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_explorers_are_pictures_over_folded_tables_where_scripts_are_not_run(site_url, open_page, viewport):
    page, _ = open_page(f"{site_url}/notebooks/00_start_here.html", site_url, viewport, java_script_enabled=False)
    look_at_the_picture(page, f"site_without_scripts_{viewport['width']}")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= viewport["width"]


def test_formulas_are_drawn(open_page):
    from walkthrough.export import mathml

    page, _ = open_page("about:blank", "about:")
    page.set_content(f"<!doctype html>{mathml(HARD_MATHS, block=True)}")
    driving.keep_picture(page, "site_maths")
    box = {key: page.locator(selector).first.bounding_box() for key, selector in
           {"above": "mfrac > :first-child", "below": "mfrac > :last-child", "short": "mtr:first-child mtd:first-child mi",
            "long": "mtr:last-child mtd:first-child mi:last-child"}.items()}  # fmt: skip
    assert box["above"]["y"] + box["above"]["height"] <= box["below"]["y"] + 2
    right = [box[key]["x"] + box[key]["width"] for key in ("short", "long")]
    assert right[0] == pytest.approx(right[1], abs=3)  # the column before "=" is flush right


def test_an_exported_notebook_opens_from_the_disk(open_page, tmp_path):
    html, _ = get_exporter("offline")().from_filename(NOTEBOOKS[0])
    (tmp_path / "00.html").write_text(html, encoding="utf-8")
    page, heard = open_page((tmp_path / "00.html").as_uri(), "file:")
    assert page.locator("math").first.is_visible()
    assert page.locator(".jp-RenderedImage img").first.is_visible()
    assert (heard.outside, heard.errors) == ([], [])
    driving.keep_picture(page, "site_exported")
    plain, _ = open_page((tmp_path / "00.html").as_uri(), "file:", java_script_enabled=False)
    look_at_the_picture(plain, "site_exported_without_scripts")
