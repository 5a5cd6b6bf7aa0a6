"""The front page and the training page in a real browser: one types, chooses, ablates, shares a link, with and without the engine."""

import json
import re
from urllib.parse import urlencode

import driving
import pytest
import torch
from site_fixture import DESK, PHONE

from walkthrough import interventions

pytest_plugins = ["site_fixture"]
TYPED = "def feed_walrus(fish):\n    return fish\n\nfeed_wal"
THEMES = ["light", "dark"]


@pytest.fixture
def front(site_url, open_page):
    """The front page, and what it asks of others and complains of."""
    page, heard = open_page(f"{site_url}/index.html", site_url)
    page.wait_for_selector("#wf-live[data-shown]")
    return page, heard


@pytest.fixture
def told(pages):
    """The numbers that the front page opens with."""
    return json.loads(pages["index.html"].find("script", id="wf-story").string)


def say(page):
    return page.inner_text(".wf-say")


def share(page, token, list_="last"):
    """The probability that the first or the last list of next tokens gives a token, in percent."""
    bars = page.locator("#wf-live .wf-bars")
    row = getattr(bars, list_).locator("li", has=page.locator(f"code:text-is('{token}')"))
    return float(row.locator(".wf-share").inner_text().removesuffix(" %"))


def wait_for(page, words):
    page.wait_for_function("words => document.querySelector('.wf-say').textContent.includes(words)", arg=words)


def fetched(page):
    """The files of the engine that the page has asked for."""
    return page.evaluate(
        "performance.getEntriesByType('resource').map(e => e.name).filter(n => n.includes('/engine/'))"
    )


def test_one_button_takes_the_prediction_away_before_anything_is_fetched(front):
    page, heard = front
    before = share(page, "r")
    assert page.locator("#wf-live .wf-bars").count() == 1
    page.click(".wf-ablate")
    assert page.get_attribute(".wf-ablate", "aria-pressed") == "true"
    assert share(page, "r") < before / 4
    assert f"Ablating head 1:6 lowers that to {share(page, 'r'):.1f} %" in say(page)
    assert page.inner_text(".wf-chances") == f"“r”: {before:.1f} % → {share(page, 'r'):.1f} %"
    page.click(".wf-ablate")
    assert page.locator("#wf-live .wf-bars").count() == 1
    assert fetched(page) == []
    assert (heard.outside, heard.errors) == ([], [])


def test_the_engine_answers_for_code_that_is_typed(front, two_layer):
    page, heard = front
    page.fill("#wf-prompt", TYPED)
    wait_for(page, "r”")
    page.wait_for_function(
        "typed => document.querySelector('#wf-live').dataset.shown.startsWith(`${typed} `)", arg=str(len(TYPED))
    )
    chances = two_layer(two_layer.to_tokens(TYPED))[0, -1].softmax(-1)
    best = int(chances.argmax())
    assert share(page, two_layer.to_string([best]), "first") == pytest.approx(100 * float(chances[best]), abs=0.051)
    page.click(".wf-ablate")
    page.wait_for_selector("#wf-live .wf-bars >> nth=1")
    assert (heard.outside, heard.errors) == ([], [])


@pytest.mark.parametrize("prompt", ["import numpy as np\n\nx = np.", "(a, b)\n[c"])
def test_a_prompt_without_a_copy_says_so(front, prompt):
    page, _ = front
    page.fill("#wf-prompt", prompt)
    wait_for(page, "stands nowhere earlier")


@pytest.mark.parametrize(("prompt", "cut", "ends"), [
    ("zebra = 1\nprint(zeb", "“ze|b”, and above it was cut “ze|bra”", "zebra = 1\nprint(ze"),
    ("for flumox in x:\n    total += flu", "“·fl|u”, and above it was cut “·fl|um”", "for flumox in x:\n    total += fl"),
])  # fmt: skip
def test_a_text_that_ends_inside_a_token_is_told_so_and_can_end_where_one_ends(front, prompt, cut, ends):
    page, heard = front
    page.fill("#wf-prompt", prompt)
    wait_for(page, cut)
    page.get_by_role("button", name="End it at").click()
    wait_for(page, ", the token that the head looks at,")
    assert page.input_value("#wf-prompt") == ends
    assert page.get_by_role("button", name="End it at").count() == 0
    assert heard.errors == []


def test_a_token_that_is_written_the_same_counts_where_the_head_looks_at_what_followed_it(front):
    page, heard = front
    page.fill("#wf-prompt", "class Walrus:\n    def swim(self):\n        pass\n\npet = Walrus()\npet.s")
    wait_for(
        page,
        "But “·s” does, a token that differs only by the space before it, and head 1:6 looks at what followed it, “w” (",
    )
    page.select_option("#wf-head", "1:1")  # which looks elsewhere
    wait_for(page, "finds no earlier copy of the last one: it looks most at")
    assert heard.errors == []


def test_indents_are_seen_and_keys_reach_all_tokens_that_can_be_chosen(front):
    page, _ = front
    assert "···" in page.locator(".wf-indent").all_text_contents()
    page.locator(".wf-token").last.focus()
    for key, position in [("Home", 1), ("ArrowLeft", 1), ("ArrowRight", 2), ("Home", 1), ("ArrowUp", 1)]:
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.title") == f"position {position}"


def test_part_of_a_character_is_named_by_its_position(front):
    page, _ = front
    page.fill("#wf-prompt", "ö日ö")
    wait_for(page, "the part of a character at position 7")
    assert "\ufffd" not in say(page)


@pytest.mark.parametrize(("link", "words"), [
    ("head=9:9&query=21", "The model has no head “9:9”: head 1:6 is shown."),
    ("head=1:6&query=99", "This prompt has no position 99: the last one is shown."),
])  # fmt: skip
def test_a_link_to_what_there_is_not_says_so(site_url, open_page, told, link, words):
    page, heard = open_page(f"{site_url}/index.html#{urlencode({'prompt': told['prompt']})}&{link}", site_url)
    page.wait_for_function("words => document.querySelector('.wf-message').textContent === words", arg=words)
    assert heard.errors == []


def test_what_a_head_does_not_copy_is_said_and_shares_come_largest_first(front):
    page, _ = front
    page.fill("#wf-prompt", "foo_bar = 1\nfoo_config = 2\nx = foo_")
    wait_for(page, "are on “config”")
    shares = [float(n) for n in re.findall(r"([\d.]+) % are on", say(page))]
    assert len(shares) == 2
    assert shares == sorted(shares, reverse=True)
    page.select_option("#wf-head", "0:7")
    wait_for(page, "looks at the token just before, “oo”")


def test_the_example_of_a_function_ends_as_its_name_does(front):
    page, _ = front
    page.get_by_role("button", name="a function").click()
    page.wait_for_function("document.querySelector('.wf-goes')?.textContent.includes('guin')")
    wait_for(page, "The model says “g”, the token that the head looks at,")


def test_when_the_other_head_suffices_it_is_named(front):
    page, _ = front
    page.fill("#wf-prompt", "def swim_dragon(fish):\n    return fish\n\nswim_drag")
    page.click(".wf-ablate")
    wait_for(page, "Try the other induction head, 1:7.")


def test_what_is_typed_goes_on_as_the_model_writes(front, two_layer):
    page, _ = front
    page.fill("#wf-prompt", TYPED)
    page.wait_for_function(
        "document.querySelector('.wf-goes') && document.querySelector('#wf-live').dataset.shown.startsWith('48 ')"
    )
    ids = two_layer.to_tokens(TYPED)
    for _ in range(4):
        ids = torch.cat([ids, two_layer(ids)[:, -1:].argmax(-1)], 1)
    wrote = two_layer.to_string(ids[0, -4:].tolist()).replace(" ", "·").replace("\n", "⏎")
    assert page.locator(".wf-goes code").first.text_content() == wrote


def test_what_the_button_changes_is_in_view(front):
    page, _ = front
    driving.settle(page)
    button, bars = (page.locator(what).first.bounding_box() for what in (".wf-ablate", "#wf-live .wf-bars"))
    assert button["y"] + button["height"] < bars["y"] < bars["y"] + bars["height"] <= DESK["height"]


def test_a_head_that_looks_elsewhere_is_said_to(front, told):
    page, _ = front
    page.select_option("#wf-head", "1:1")
    wait_for(page, "does not look at what followed")
    looks = told["looks"]["1:1"]
    assert f"({100 * max(looks):.1f} %)" in say(page)
    assert looks[told["looks"][told["head"]].index(max(told["looks"][told["head"]]))] < 0.5


@pytest.mark.parametrize(("prompt", "words"), [("", "empty"), ("x = 1\n" * 200, "too long|at most 256")])
def test_a_prompt_that_cannot_be_read_gets_one_sentence(front, prompt, words):
    page, heard = front
    page.fill("#wf-prompt", prompt)
    page.wait_for_function(
        "words => new RegExp(words).test(document.querySelector('.wf-message').textContent)", arg=words
    )
    assert page.get_attribute("#wf-prompt", "aria-invalid") == "true"
    assert not page.locator(".wf-say").is_visible()
    assert not page.locator(".wf-ablate").is_visible()
    page.fill("#wf-prompt", TYPED)
    page.wait_for_selector(".wf-say:visible")
    assert page.inner_text(".wf-message") == ""
    assert heard.errors == []


def test_a_prompt_that_is_too_long_can_keep_its_end(front, two_layer):
    page, heard = front
    long = "".join(f"def walrus_{i}(self):\n    return ö\n" for i in range(60)) + TYPED
    page.fill("#wf-prompt", long)
    page.get_by_role("button", name="Keep the end of it").click()
    page.wait_for_selector(".wf-say:visible")
    kept = page.input_value("#wf-prompt")
    assert long.endswith(kept)
    size = lambda text: 1 + len(two_layer.tokenizer.encode(text, add_special_tokens=False))
    assert size(kept) <= 256 < size(long[len(long) - len(kept) - 8 :])
    assert page.locator(".wf-token").count() == size(kept)
    assert page.get_by_role("button", name="Keep the end of it").count() == 0
    page.fill("#wf-prompt", "")  # nothing can be kept of nothing
    page.wait_for_function("document.querySelector('.wf-message').textContent.includes('empty')")
    assert page.get_by_role("button", name="Keep the end of it").count() == 0
    assert heard.errors == []


@pytest.mark.parametrize("typed", [False, True])
def test_a_head_that_both_induction_heads_read_is_said_to_disturb_them(front, two_layer, told, typed):
    page, _ = front
    prompt = told["prompt"]
    if typed:
        page.fill("#wf-prompt", prompt := prompt.replace("Wal", "Pel"))
        page.wait_for_function("document.querySelector('.wf-code').textContent.includes('Pel')")
    page.select_option("#wf-head", "0:1")
    page.click(".wf-ablate")
    wait_for(page, "Layer 1 reads what layer 0 writes")
    ids = two_layer.to_tokens(prompt)
    copies = [k for k in range(2, ids.shape[1]) if ids[0, k - 1] == ids[0, -1]]
    with two_layer.hooks(fwd_hooks=interventions.ablate(two_layer, [(0, 1)])):
        pattern = two_layer.run_with_cache(ids)[1]["pattern", 1][0]
    said = re.findall(r"head 1:(\d) puts ([\d.]+) %", say(page))
    assert said if typed else [head for head, _ in said] == ["6", "7"]
    for head, share in said:
        assert float(share) == pytest.approx(100 * float(pattern[int(head), -1, copies].sum()), abs=0.11)
    assert ("disturbs both" in say(page)) == (len(said) == 2)
    page.select_option("#wf-head", "1:6")
    page.wait_for_function("!document.querySelector('.wf-say').textContent.includes('Layer 1 reads')")


def test_a_link_holds_what_is_shown(front, site_url, open_page):
    page, _ = front
    page.fill("#wf-prompt", TYPED)
    page.wait_for_function("location.hash.includes('feed_walrus')")
    page.select_option("#wf-head", "1:7")
    page.locator(".wf-token").nth(5).click()
    page.click(".wf-ablate")
    page.wait_for_function("location.hash.endsWith('head=1%3A7&query=5&off=1')")
    other, heard = open_page(page.url, site_url)
    other.wait_for_function("said => document.querySelector('.wf-say')?.textContent === said", arg=say(page))
    assert other.input_value("#wf-prompt") == TYPED
    assert other.locator(".wf-token").nth(5).get_attribute("aria-pressed") == "true"
    assert other.get_attribute(".wf-ablate", "aria-pressed") == "true"
    driving.settle(other)  # it scrolls there
    assert 0 <= other.locator("#wf-live").bounding_box()["y"] < 200
    assert heard.errors == []


def test_a_link_to_a_heading_or_with_nonsense_shows_the_page_as_it_is(site_url, open_page):
    for hash in ("the-notebooks", "prompt=x&head=9:9&query=99&model=none", "prompt=%E0%A4%A"):
        page, heard = open_page(f"{site_url}/index.html#{hash}", site_url)
        page.wait_for_selector("#wf-live[data-shown]")
        if "model=none" in hash:
            page.wait_for_function("document.querySelector('.wf-message').textContent.includes('two-layer')")
            assert page.input_value("#wf-prompt") == "x"
            assert page.input_value("#wf-head") == "1:6"
        assert heard.errors == []


def test_the_link_can_be_copied(front):
    page, _ = front
    driving.resize(page, **PHONE)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = page.get_by_role("button", name="Copy a link")
    button.evaluate("button => button.scrollIntoView({ block: 'end', behavior: 'instant' })")
    button.click()
    page.wait_for_function("document.querySelector('.wf-copied').textContent.includes('Copied')")
    page.wait_for_function(
        f"(({{ top, bottom }}) => 0 < top && bottom <= {PHONE['height']})"
        "(document.querySelector('.wf-copied').getBoundingClientRect())"
    )
    assert "prompt=class+Walrus" in page.evaluate("navigator.clipboard.readText()")


def test_it_works_by_keyboard_alone(front):
    page, heard = front
    page.focus("#wf-prompt")
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('wf-token')"):
            break
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    wait_for(page, "W”")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "wf-head"
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.wait_for_selector(".wf-ablate[aria-pressed=true]")
    assert page.evaluate("document.activeElement.className") == "wf-ablate"
    assert heard.errors == []


def test_if_the_model_cannot_be_fetched_one_sentence_says_so(site_url, open_page):
    page, _ = open_page(f"{site_url}/index.html", site_url, alone=True)  # whose cache holds no model yet
    page.wait_for_selector("#wf-live[data-shown]")
    page.route("**/*.safetensors", lambda route: route.abort())
    page.fill("#wf-prompt", TYPED)
    page.wait_for_function("document.querySelector('.wf-message').textContent.includes('could not be fetched')")
    page.unroute("**/*.safetensors")
    page.fill("#wf-prompt", TYPED + "r")
    wait_for(page, "us")


def test_from_the_disk_what_is_stored_is_shown_and_a_sentence_says_how_to_get_more(site, open_page):
    page, heard = open_page((site / "index.html").as_uri(), "file:")
    page.wait_for_selector("#wf-live[data-shown]")
    page.click(".wf-ablate")
    assert "lowers that to" in say(page)
    page.fill("#wf-prompt", TYPED)
    page.wait_for_function("document.querySelector('.wf-message').textContent.includes('http.server')")
    assert heard.outside == []


def test_without_scripts_there_is_a_picture_and_a_table(site_url, open_page):
    page, _ = open_page(f"{site_url}/index.html", site_url, PHONE, java_script_enabled=False)
    assert page.locator("#wf-live img").is_visible()
    page.locator("#wf-live summary").click()
    assert page.locator("#wf-live table").is_visible()
    assert page.locator("#wf-heads").is_hidden()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", ["index", "training"])
def test_axe_finds_nothing(site_url, open_page, name, theme):
    pytest.importorskip("axe_playwright_python", reason="axe-core comes with axe-playwright-python")
    page, _ = open_page(f"{site_url}/{name}.html", site_url, color_scheme=theme, reduced_motion="reduce")
    if name == "index":
        page.click(".wf-ablate")
    for details in page.query_selector_all("details"):
        details.evaluate("details => { details.open = true }")
    driving.settle(page)  # colours fade from light to dark
    assert driving.axe_violations(page, "main", ("minor", "moderate", "serious", "critical")) == []
    for size in (DESK, PHONE):
        driving.resize(page, **size)
        assert page.evaluate("document.scrollingElement.scrollWidth") <= size["width"]
        driving.keep_picture(page, f"site_{name}_{size['width']}_{theme}")


def test_bars_do_not_move_for_who_does_not_want_it(site_url, open_page):
    for wish, moves in (("reduce", False), ("no-preference", True)):
        page, _ = open_page(f"{site_url}/index.html", site_url, reduced_motion=wish)
        time = page.evaluate("getComputedStyle(document.querySelector('.wf-track i')).transitionDuration")
        assert (time != "0s") == moves


def test_choices_show_what_comes_after_them(front):
    page, _ = front
    for name in ("wf-bigrams", "wf-skips"):
        buttons = page.locator(f"[data-choices={name}] button")
        seen = set()
        for i in range(buttons.count()):
            buttons.nth(i).click()
            seen.add(page.inner_text(f"[data-choices={name}] ol"))
        assert len(seen) == buttons.count() > 3


def test_the_run_plays_and_stops(site_url, open_page):
    page, heard = open_page(f"{site_url}/training.html", site_url, alone=True)
    page.clock.install(time=0)
    page.clock.pause_at(1000)  # else it goes on by itself, too
    page.reload()
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(1100)
    assert page.get_attribute("#wf-training", "data-at") == "2"
    page.get_by_role("button", name="Pause").click()
    page.clock.run_for(2000)
    assert page.get_attribute("#wf-training", "data-at") == "2"
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(60_000)
    assert page.get_by_role("button", name="Play").is_visible()
    assert int(page.get_attribute("#wf-training", "data-at")) > 20
    assert heard.errors == []


def test_the_slider_goes_over_the_run(site_url, open_page):
    page, heard = open_page(f"{site_url}/training.html", site_url)
    slider = page.get_by_role("slider", name="tokens learnt from")
    start = say(page)
    assert page.get_attribute("#wf-when", "aria-valuetext") == "0 tokens"
    slider.focus()
    page.keyboard.press("End")
    end = say(page)
    assert end != start
    page.keyboard.press("Home")
    assert say(page) == start
    page.keyboard.press("ArrowRight")
    assert page.get_attribute("#wf-training", "data-at") == "1"
    page.keyboard.press("End")
    assert say(page) == end
    page.locator(".wf-chart svg").first.click(position={"x": 40, "y": 60})
    assert int(page.get_attribute("#wf-training", "data-at")) < 5
    token = page.locator(".wf-code >> nth=1 >> button >> nth=12")
    token.click()
    assert "at position 12" in say(page)
    assert re.search(
        r"after [\d,]+ tokens: two layers \d\.\d\d",
        page.locator(".wf-chart [role=img]").first.get_attribute("aria-label"),
    )
    assert (heard.outside, heard.errors) == ([], [])
