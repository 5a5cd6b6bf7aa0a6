"""One bias removed in many ways: by the smallest edits, by edits in random directions, by deletion, by fine-tuning."""

import torch
from jaxtyping import Float
from torch import Tensor

from walkthrough.beyond import biases, blind_search, editing
from walkthrough.beyond.bench import Bench, mean_spread_won, paired_cost
from walkthrough.beyond.biases import Term
from walkthrough.beyond.faithful import Twins, term_rise, twin_prompts
from walkthrough.beyond.fine_tuning import fine_tune, trainable
from walkthrough.interventions import ablate

TUNINGS = {  # Adam's rate, and how much other text counts; the cheapest is the one to compare with an edit
    "all heads": ((1e-5, 10), (3e-5, 10), (3e-5, 100)),
    "one W_V": ((1e-3, 10), (1e-3, 100), (1e-3, 1000)),
}


def removal(
    model, share: Float[Tensor, " d_vocab"], term: Term, moment: Float[Tensor, "d_model d_model"] | None = None
) -> editing.Edit:
    """The smallest edit of the term's strongest head after which the weights add nothing to the out any more.

    The head is made to give what all heads together gave before, with the opposite sign, so that their sum is zero.
    With `moment`, of `editing.stream_moment`, the change of what the head writes in text is smallest; else its norm.
    """
    found, (source, destination, out) = biases.score_term(model, share, term), term
    layer, head = found.layer.item(), found.head.item()
    stand = blind_search.stands(model, share)[layer]
    looks = blind_search.looks_at(model, layer, stand, torch.tensor([destination]), torch.tensor([source]))[head].item()
    read = model.W_U[:, out] - model.W_U.mean(1)
    return editing.ov_edit(model, layer, head, stand.tokens[source], read, -found.added.item() / looks, moment)


def looking_away(
    model, share: Float[Tensor, " d_vocab"], term: Term, moment: Float[Tensor, "d_model d_model"] | None = None,
    by: float = 6.0,
) -> editing.Edit:  # fmt: skip
    """The smallest edit of W_Q that lowers the strongest head's score of the source, over `<BOS>`, by so much."""
    found, (source, destination, _) = biases.score_term(model, share, term), term
    layer, head = found.layer.item(), found.head.item()
    tokens, place = blind_search.stands(model, share)[layer].tokens, model.W_pos
    query = tokens[destination] + place[blind_search.QUERY]
    keys = tokens[source] + place[blind_search.KEY] - tokens[0] - place[0]
    return editing.qk_edit(model, layer, head, query, keys, -by, moment)


def after_removal(bench: Bench, twins: Twins, out: int, before: Float[Tensor, " window"]) -> dict:
    """What is left of a term's rise, and the cost elsewhere, in the model as it is at the moment."""
    left = mean_spread_won(term_rise(bench.model, twins, out))
    return {"left": left, "cost": paired_cost(editing.losses_by_window(bench.model, bench.rows), before)}


def ways_to_remove(
    bench: Bench, term: Term, moment: Float[Tensor, "d_model d_model"], before: Float[Tensor, " window"]
) -> dict[str, dict]:
    """One bias removed in many ways: its rise afterwards, and the cost of each.

    Fine-tuning stops where it has brought the mean rise, in contexts that it does not learn from, as low as the edit
    has there; the rise that is reported is of other contexts again.
    """
    model, share, (source, destination, out) = bench.model, bench.share, term
    learning, watched, twins = (
        twin_prompts(source, destination, part, bench.pool, n_contexts)
        for part, n_contexts in (
            (bench.contexts[:500], 200),
            (bench.contexts[500:700], 60),
            (bench.contexts[764:], 200),
        )
    )
    weighted, plain = (removal(model, share, term, each) for each in (moment, None))
    placed = editing.stream_moment(model, weighted.layer, bench.contexts[:100, :-1], placed=True)
    ways = {"rank one, least expected change": weighted, "rank one, least norm": plain}
    ways |= {f"random direction, seed {seed}": editing.random_edit(model, weighted, seed) for seed in range(3)}
    ways["rank one in W_QK"] = looking_away(model, share, term, placed)
    found = {}
    for name, edit in ways.items():
        with editing.edited(model, edit):
            found[name] = after_removal(bench, twins, out, before) | {"size": edit.size(model)}
    with model.hooks(fwd_hooks=ablate(model, [(weighted.layer, weighted.head)])):
        found["head deleted"] = after_removal(bench, twins, out, before)
    with editing.edited(model, weighted):
        goal = term_rise(model, watched, out).mean().item()
    for name, ways_to_learn in TUNINGS.items():
        head = None if name == "all heads" else (weighted.layer, weighted.head)
        for lr, keep in ways_to_learn:
            with trainable(model, head) as weights:
                tuned = fine_tune(
                    model, weights, learning, watched, out, goal, bench.contexts[700:764, :-1], lr=lr, keep=keep
                )
                found[f"fine-tuned, {name}, {lr:g}, {keep}"] = (
                    after_removal(bench, twins, out, before) | tuned._asdict()
                )
    with trainable(model) as weights:
        tuned = fine_tune(model, weights, learning, watched, out, goal)
        found["fine-tuned, other text not kept"] = after_removal(bench, twins, out, before) | tuned._asdict()
    return found
