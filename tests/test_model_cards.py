"""What the shipped models must show, in their cards, and measured again here on held-out code."""

import pytest
import torch
from tokenizers import Tokenizer

from walkthrough import behaviour, corpus, models

ALL = models.NAMES + models.SMALL + models.HOMEWORK


@pytest.fixture(scope="module")
def measured():
    return {name: models.read_card(name)["measured"] for name in ALL}


@pytest.fixture(scope="module")
def rows():
    tokenizer = Tokenizer.from_file(str(models.WEIGHTS / "tokenizer.json"))
    return corpus.held_out(tokenizer, ["networkx"])[::64].long()


def test_held_out_loss_falls_from_layer_to_layer(measured):
    losses = [measured[name]["held_out_loss"] for name in models.NAMES]
    errors = [measured[name]["held_out_loss_stderr"] for name in models.NAMES]
    assert losses[0] - losses[1] > 3 * (errors[0] + errors[1])
    assert losses[1] - losses[2] > 3 * (errors[1] + errors[2])


def test_the_two_layer_model_has_the_heads_that_the_course_is_about(measured):
    card = measured["two-layer"]
    assert max(card["previous_token_layer_0"]) >= 0.95
    assert sum(score >= 0.6 for score in card["prefix_matching_layer_1"]) >= 2
    assert card["first_copy_loss"] - card["second_copy_loss"] >= 5


def test_neither_the_control_nor_random_weights_do(measured):
    for card in (measured["one-layer"], models.read_card("two-layer")["random_weights"]):
        found = [score for key, scores in card.items() if key.startswith("prefix_matching") for score in scores]
        assert max(found) < 0.3
        assert card["first_copy_loss"] - card["second_copy_loss"] < 1
    assert max(models.read_card("two-layer")["random_weights"]["previous_token_layer_0"]) < 0.3


@pytest.mark.parametrize("name", models.SMALL)
def test_the_small_models_grew_the_same_heads(measured, name):
    card = measured[name]
    assert max(card["previous_token_layer_0"]) >= 0.95
    assert max(card["prefix_matching_layer_1"]) >= 0.6
    assert card["first_copy_loss"] - card["second_copy_loss"] >= 5


def test_the_small_models_differ_in_their_seed_alone():
    recipes = [models.read_card(name)["recipe"] for name in models.SMALL]
    assert [recipe.pop("seed") for recipe in recipes] == [1, 2]
    assert recipes[0] == recipes[1]


def test_context_helps_two_layers_more_than_one(measured):
    two, one = measured["two-layer"], measured["one-layer"]
    assert two["late_minus_early"] < -4 * two["late_minus_early_stderr"]
    assert two["late_minus_early"] < one["late_minus_early"] - two["late_minus_early_stderr"]


def test_every_card_states_the_control_and_the_baseline():
    for name in models.NAMES:
        card = models.read_card(name)
        assert card["one_layer_control"] == models.read_card("one-layer")["measured"]
        assert set(card["random_weights"]) == set(card["measured"])
        assert abs(card["random_weights"]["held_out_loss"] - torch.tensor(4096.0).log().item()) < 0.5


def test_all_but_the_homeworks_model_were_trained_on_one_corpus():
    assert len({models.read_card(name)["corpus"]["sha256"] for name in models.NAMES + models.SMALL}) == 1


def test_the_homeworks_model_differs_from_its_controls_in_seed_and_corpus_and_its_card_tells_no_more():
    card, control = (models.read_card(name) for name in (*models.HOMEWORK, models.SMALL[0]))
    assert card["recipe"] | {"seed": 1} == control["recipe"]
    assert card["corpus"]["packages"] == control["corpus"]["packages"]
    assert card["corpus"]["sha256"] != control["corpus"]["sha256"]
    assert set(card) == set(control)
    assert max(card["measured"]["previous_token_layer_0"]) >= 0.95
    assert max(card["measured"]["prefix_matching_layer_1"]) >= 0.6


@pytest.mark.parametrize("name", ALL)
def test_the_cards_losses_are_those_of_the_weights(name, rows, measured):
    """On a sample of most of the held-out code: its standard error is about 0.06 nats."""
    model = models.load(name)
    losses = torch.cat([behaviour.loss_per_position(model(part[:, :-1]), part) for part in rows.split(16)])
    assert abs(losses.mean().item() - measured[name]["held_out_loss"]) < 0.3
    tokens = behaviour.repeated_tokens(4096, 60, 2, 32, seed=1)
    copies = behaviour.loss_per_position(model(tokens[:, :-1]), tokens)
    assert copies[:, 60:].mean().item() == pytest.approx(measured[name]["second_copy_loss"], abs=0.01)


def test_the_cards_head_scores_are_those_of_the_weights(two_layer, measured):
    tokens = behaviour.repeated_tokens(4096, 60, 2, 32, seed=1)
    _, cache = two_layer.run_with_cache(tokens)
    scores = behaviour.prefix_matching_score(cache["blocks.1.attn.hook_pattern"], 60)
    assert scores.tolist() == pytest.approx(measured["two-layer"]["prefix_matching_layer_1"], abs=1e-3)


def table() -> str:
    """The README's table of models, from the cards."""
    lines = [
        "| model | tokens trained on | held-out loss (nats) | late minus early | first → second copy | best previous-token head | induction heads |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in ALL:
        card = models.read_card(name)
        m = card["measured"]
        previous = f"{max(m['previous_token_layer_0']):.2f}" if card["config"]["n_layers"] else "–"
        induction = sorted((s for key in m if key.startswith("prefix") for s in m[key] if s > 0.5), reverse=True)
        lines.append(
            f"| `{name}` | {card['tokens'] / 1e6:.1f} M | {m['held_out_loss']:.2f} ± {m['held_out_loss_stderr']:.2f} "
            f"| {m['late_minus_early']:+.2f} ± {m['late_minus_early_stderr']:.2f} "
            f"| {m['first_copy_loss']:.1f} → {m['second_copy_loss']:.1f} | {previous} "
            f"| {', '.join(f'{s:.2f}' for s in induction) or 'none'} |"
        )
    return "\n".join(lines)


def test_the_readme_quotes_the_cards():
    assert table() in (models.WEIGHTS.parent.parent / "README.md").read_text(encoding="utf-8")
