"""The film of particles, used as a page of its own: slider, play, choice and charts, by pointer and by keys."""

import driving
import numpy as np
import pytest

from walkthrough import widgets
from walkthrough.beyond import particles

TIMES = np.linspace(0, 3, 7)


@pytest.fixture(scope="module")
def films():
    circle, sphere = particles.random_points(6, 2), particles.random_points(5, 3)
    return {f"beta {b}": particles.simulate(x, b, TIMES).x for b, x in ((1, circle), (4, sphere))}


@pytest.fixture(scope="module")
def film(films):
    curves = {name: {"clusters": [6, 5, 4, 3, 2, 2, 1], "energy": TIMES / 7} for name in films}
    return widgets.ParticleMovie(TIMES, films, curves=curves)


@pytest.fixture
def plain(film, tmp_path):
    file = tmp_path / "film.html"
    head = '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>x</title></head>'
    file.write_text(f"{head}<body><main>{film.page()}</main></body></html>", encoding="utf-8")
    return file.as_uri()


def places(page):
    """Where the page draws the tokens, in the sphere's own coordinates."""
    centres = "all => all.map(c => [Number(c.getAttribute('cx')), Number(c.getAttribute('cy'))])"
    return (np.array(page.eval_on_selector_all(".wt-particle", centres)) - 120) / [108, -108]


def test_the_film_shows_the_points_at_the_chosen_time(page, plain, films):
    outside, faults = driving.outside_requests(page), []
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    page.goto(plain)
    page.wait_for_selector(".wt-body[data-at='0']")
    first, second = films.values()
    np.testing.assert_allclose(places(page), first[0], atol=0.01)
    page.focus(".wt-when")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".wt-body[data-at='2']")
    np.testing.assert_allclose(places(page), first[2], atol=0.01)
    assert page.inner_text(".wt-numbers") == "clusters: 4; energy: 0.143"
    assert page.get_attribute(".wt-when", "aria-valuetext") == "time 1"
    page.click(".wt-tables > summary")
    assert page.locator(".wt-tables table").first.locator("tr").nth(3).inner_text().split() == ["1", "4", "0.143"]
    seen = page.locator(".wt-tables table").nth(1).locator("tbody tr").all_inner_texts()
    np.testing.assert_allclose([[float(x) for x in row.split()[1:3]] for row in seen], first[2][:, :2], atol=0.01)
    page.click(".wt-tables > summary")
    page.select_option(".wt-films", index=1)
    page.wait_for_selector(".wt-body[data-film='beta 4']")
    np.testing.assert_allclose(places(page), second[2, :, :2], atol=0.01)
    assert page.locator(".wt-behind").count() == (second[2, :, 2] < -0.01).sum()
    box = page.locator(".wt-run").bounding_box()
    page.click(".wt-run", position={"x": box["width"] * 345 / 360, "y": 30})
    page.wait_for_selector(".wt-body[data-at='6']")
    page.evaluate("""() => {
        const button = document.querySelector('.wt-play')
        window.called = []
        new MutationObserver(() => called.push(button.textContent)).observe(button, {childList: true})
    }""")  # the button's names in turn: "pause" may have gone again before a test can ask
    page.focus(".wt-play")
    page.keyboard.press("Enter")
    page.wait_for_function("() => called.join() === 'pause,play'")
    assert page.get_attribute(".wt-body", "data-at") == "6"
    for theme in ("light", "dark"):
        driving.set_theme(page, theme)
        assert driving.axe_violations(page) == []
        driving.keep_picture(page, f"particles_{theme}")
    assert (outside, faults) == ([], [])


def test_without_scripts_there_are_a_picture_and_a_table_for_each_film(chrome, plain):
    context = chrome.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(plain)
    assert page.locator(".wt img + p + details table").count() == 2
    assert page.locator(".wt table tr").count() == 2 * (1 + len(TIMES))
    assert "6 tokens (beta 1)" in page.get_attribute(".wt img", "alt")
    context.close()
