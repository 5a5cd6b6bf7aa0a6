"""The front page and the training page: their numbers by a second road, their sentences, and what stands where no script runs."""

import base64
import json
import math
import re
import sys
from pathlib import Path

import pytest
import torch

from walkthrough.two_layers import forming

pytest_plugins = ["site_fixture"]
ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def data(page, id):
    return json.loads(page.find("script", id=id).string)


@pytest.fixture(scope="module")
def front(pages):
    return pages["index.html"]


@pytest.fixture(scope="module")
def told(front):
    return data(front, "wf-story")


def without(model, ids, head):
    """The probabilities after the last token if a head's W_O is zero: nothing of what it read is written."""
    layer, number = map(int, head.split(":"))
    W_O = model.blocks[layer].attn.o.weight  # [d_model, head d_head]
    kept, width = W_O.detach().clone(), model.cfg.d_head
    with torch.no_grad():
        W_O[:, number * width : (number + 1) * width] = 0
        try:
            return model(ids)[0, -1].softmax(-1)
        finally:
            W_O.copy_(kept)


def test_the_story_is_what_the_model_does(told, two_layer):
    ids = torch.tensor([told["ids"]])
    assert torch.equal(ids, two_layer.to_tokens(told["prompt"]))
    chances = two_layer(ids)[0, -1].softmax(-1)
    said, text = told["next"]
    assert chances.argmax() == said
    assert two_layer.to_string([said]) == text
    assert told["without"][""]["chance"] == pytest.approx(float(chances[said]), abs=1e-4)
    for head in ("0:7", "1:1", "1:6", "1:7"):
        after = without(two_layer, ids, head)
        assert told["without"][head]["chance"] == pytest.approx(float(after[said]), abs=1e-4)
        assert told["without"][head]["top"][0][1] == pytest.approx(float(after.max()), abs=1e-4)


def test_the_story_is_worth_telling(told):
    """What the page says of its prompt: the head looks at the successor, is needed, and other heads are not."""
    head, looks = told["head"], told["looks"][told["head"]]
    key = looks.index(max(looks))
    assert told["tokens"][key] == told["next"][1]
    assert told["tokens"][key - 1] == told["tokens"][-1]
    chance = {of: each["chance"] for of, each in told["without"].items()}
    assert looks[key] > 0.9
    assert chance[""] > 0.8
    assert chance[head] < chance[""] / 4
    others = [of for of in chance if of.startswith("1:") and of not in told["kinds"]]
    assert min(chance[of] for of in others) > 0.9 * chance[""]
    assert "induction head" in told["kinds"][head]


def test_what_no_layer_says_is_a_row_of_one_table(front, zero_layer):
    for each in data(front, "wf-bigrams"):
        ids = torch.tensor([[0, zero_layer.to_single_token(each["after"])]])
        found = zero_layer(ids)[0, -1].softmax(-1).topk(len(each["top"])).values.tolist()
        assert [chance for _, chance in each["top"]] == pytest.approx(found, abs=1e-4)


def test_after_the_same_token_one_layer_says_different_things(front, one_layer):
    found = data(front, "wf-skips")
    assert len({each["top"][0][0] for each in found}) == len(found)
    for each in found:
        ids = one_layer.to_tokens(each["after"])
        pattern = one_layer.run_with_cache(ids)[1]["pattern", 0][0, each["head"], -1]
        assert one_layer.to_string([int(ids[0, -1 - each["back"]])]) == each["source"]
        assert float(pattern[-1 - each["back"]]) == pytest.approx(each["weight"], abs=1e-4)


def test_one_example_has_a_gap_and_needs_the_word_before_it(front, one_layer):
    far = max(data(front, "wf-skips"), key=lambda each: each["back"])
    assert far["back"] > 2
    said = one_layer.to_single_token(far["top"][0][0])
    chance = lambda text: float(one_layer(one_layer.to_tokens(text))[0, -1].softmax(-1)[said])
    assert chance(far["after"].replace(far["source"], " call")) < chance(far["after"]) / 4


def test_the_two_steps_to_the_copy_are_what_the_heads_do(front, told, two_layer):
    kept = two_layer.run_with_cache(torch.tensor([told["ids"]]))[1]
    first = told["tokens"].index(told["next"][1])
    shares = kept["pattern", 0][0, 7, first, first - 1], kept["pattern", 1][0, 6, -1, first]
    text = front.find("p", string=re.compile("^In the Walrus prompt: at")).get_text()
    assert [f"{100 * float(share):.1f} %" for share in shares] == re.findall(r"[\d.]+ %", text)


def test_every_head_that_matters_is_named_not_only_the_chosen_ones(front, told):
    text = front.select_one("article").get_text(" ")
    text = text[text.index("Is that head special?") : text.index("From no layer to two")]
    without = {head: each["chance"] for head, each in told["without"].items()}
    named = [head for head, chance in without.items() if head and chance < 0.75 * without[""]]
    assert {"0:1", "0:2", "0:3", "0:7", "1:6", "1:7"} >= set(named)
    for head in named:
        assert re.search(rf"\b{head}\b", text), head
        assert f"{100 * without[head]:.1f} %" in text, head


@pytest.mark.parametrize(("words", "minutes"), [
    ("80 minutes", 80), ("two hours", 120), ("an hour and three quarters", 105), ("an hour and a half", 90),
    ("two hours and a quarter", 135), ("two and a half hours", 150), ("two hours and a half", 150),
])  # fmt: skip
def test_times_in_words_are_read(words, minutes):
    import cards

    assert cards.in_minutes(words) == minutes
    assert cards.clock(minutes) == f"{minutes // 60} h {minutes % 60} min".removesuffix(" 0 min")


@pytest.mark.parametrize("words", ["a while", "ten days", "hours"])
def test_a_time_that_cannot_be_read_is_refused(words):
    import cards

    with pytest.raises(ValueError, match="how long is"):
        cards.in_minutes(words)


def test_the_words_of_the_page_are_explained(front, pages):
    words = front.select_one(".wf-words")
    for link in words.select("a"):
        page, _, anchor = link["href"].partition("#")
        assert pages[page].find(id=anchor), link["href"]
    said = words.get_text()
    for word in ("token", "attention", "induction head", "ablate", "1:6", "nat", "<BOS>", "skip-trigram"):
        assert word in said


def test_the_losses_on_copies_are_those_of_the_cards(front):
    shown = [float(li.select_one(".wf-share").get_text()) for li in front.select(".wf-wide li:not(.wf-guess)")]
    cards = [json.loads((ROOT / "walkthrough" / "weights" / f"{name}.json").read_text(encoding="utf-8"))["measured"]
             for name in ("zero-layer", "one-layer", "two-layer")]  # fmt: skip
    assert shown == [round(card[key], 2) for card in cards for key in ("first_copy_loss", "second_copy_loss")]
    tokens = json.loads((ROOT / "walkthrough" / "weights" / "two-layer.json").read_text(encoding="utf-8"))["config"][
        "d_vocab"
    ]
    assert float(front.select_one(".wf-guess .wf-share").get_text()) == round(math.log(tokens), 2)


def test_there_is_a_card_for_each_notebook_with_its_minutes(front):
    cards = {card.find("a")["href"]: card for card in front.select(".wf-cards:not(.wf-three) li")}
    assert list(cards) == [f"notebooks/{path.stem}.html" for path in NOTEBOOKS]
    for path in NOTEBOOKS[1:]:
        assert re.search(r"\d (min|h)\b", cards[f"notebooks/{path.stem}.html"].select_one(".wf-time").get_text()), (
            path.stem
        )


def test_the_three_users_are_led_on(front):
    ways = [link["href"] for link in front.select(".wf-three a")]
    assert {"start.html#follow-the-course", "start.html#explore", "start.html#set-it-as-homework"} <= set(ways)


def test_without_scripts_a_picture_tells_the_story_and_tables_its_numbers(front, told):
    picture = front.select_one("#wf-live img")
    for number in (told["without"][""]["chance"], told["without"][told["head"]]["chance"]):
        assert f"{100 * number:.1f} %" in picture["alt"]
    rows = front.select("#wf-live table tbody tr")
    assert len(rows) == len(told["looks"])
    assert not front.select_one("#wf-live details").has_attr("open")


def test_the_training_page_shows_the_recorded_run(pages):
    run = data(pages["training.html"], "wf-run")
    curves = forming.curves(0)
    assert run["looks"] == curves["tokens"].tolist()
    assert run["curves"]["loss"]["two layers"] == pytest.approx(curves["text_loss"].tolist(), abs=1e-3)
    previous, induction = (run["heads"][kind].split(":") for kind in ("previous", "induction"))
    assert curves["previous_token"][-1, int(previous[0])].argmax() == int(previous[1])
    assert curves["prefix_matching"][-1, int(induction[0])].argmax() == int(induction[1])


def test_the_training_page_shows_where_heads_looked(pages):
    run = data(pages["training.html"], "wf-run")
    stored = base64.b64decode(run["patterns"])
    n, each = len(run["tokens"]), len(run["tokens"]) * (len(run["tokens"]) + 1) // 2
    model = list(forming.checkpoints().values())[-1]
    ids = model.to_tokens("".join(run["tokens"][1:]))
    assert ids.shape[1] == n
    layer, head = map(int, run["heads"]["induction"].split(":"))
    pattern = model.run_with_cache(ids)[1]["pattern", layer][0, head]
    start = (2 * len(run["at"]) - 1) * each  # the second head of the last checkpoint
    last = [share / 100 for share in stored[start + (n - 1) * n // 2 : start + each]]
    assert last == pytest.approx(pattern[-1].tolist(), abs=0.0051)
    assert len(stored) == 2 * len(run["at"]) * each
