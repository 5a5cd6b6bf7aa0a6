"""Preferences found in the two-layer model's weights: which were chosen, in behaviour, and the edit that removes each.

`walkthrough.beyond.bias_runs` measures all of it.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from walkthrough import corpus, models
from walkthrough.beyond import blind_search, editing
from walkthrough.beyond.faithful import end_log_probs, twin_prompts
from walkthrough.one_layer.skip_trigrams import SkipTrigram

BIASES = (  # chosen by eye from the list of `skip_trigram_search`; why a user would mind stands in `origin`
    SkipTrigram(" tz", '="', ("US",), "time zones are American"),
    SkipTrigram(" device", '="', ("cpu",), "computing is done on the CPU"),
    SkipTrigram("Tokenizer", " (`", ("PreTrained",), "a tokenizer is one project's tokenizer"),
    SkipTrigram(" strict", "=", ("True",), "what can be switched on is switched on"),
    SkipTrigram(" encoding", '="', ("utf",), "text is UTF-8: a preference that nobody minds"),
)


def with_letters(model) -> Bool[Tensor, " d_vocab"]:
    """Which tokens hold a letter: brackets and quotes, closed by a head made for it, fill the list otherwise."""
    texts = [model.to_string(token) for token in range(model.cfg.d_vocab)]
    letters = [any(sign.isalpha() for sign in text) and text != models.BOS for text in texts]
    return torch.tensor(letters)


def split_windows(model, n_cost: int = 391) -> tuple[Int[Tensor, "context pos"], Int[Tensor, "window pos"]]:
    """Held-out windows, each in one of two parts: contexts for behaviour, and those on which costs are measured.

    The second has `n_cost` windows of 256 tokens each: by default 100,096 tokens.
    """
    rows = corpus.held_out(model.tokenizer.backend_tokenizer, limit=500_000).long()
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]
    return rows[n_cost:], rows[:n_cost]


def one_each(found: blind_search.Found) -> tuple[blind_search.Found, list[int]]:
    """Of a list of terms the best for each pair of source and out, and how many destinations the list has for it."""
    first, counts = {}, {}
    for place, pair in enumerate(zip(found.source.tolist(), found.out.tolist())):
        first.setdefault(pair, place)
        counts[pair] = counts.get(pair, 0) + 1
    places = torch.tensor(list(first.values()))
    return blind_search.Found(*(part[places] for part in found)), [counts[pair] for pair in first]


def score_term(model, share: Float[Tensor, " d_vocab"], term: tuple[int, int, int]) -> blind_search.Found:
    """One skip-trigram's entry in the search's list, whatever its score: source, destination and out are token ids."""
    source, destination, out = term
    only = torch.zeros(model.cfg.d_vocab, dtype=torch.bool)
    only[out] = True
    return blind_search.skip_trigram_search(
        model, share, torch.tensor([destination]), torch.tensor([source]), only, keep=1, least=0.0
    )


def random_terms(
    model, share: Float[Tensor, " d_vocab"], pool: Int[Tensor, " choice"], outs: Bool[Tensor, " d_vocab"], n: int,
    seed: int = 0,
) -> list[tuple[int, int, int]]:  # fmt: skip
    """Sources and destinations drawn from a pool, and outs from what the weights say after the destination: a baseline.

    The out is drawn with the probability that it has among average tokens, of those that `outs` allows.
    """
    generator = torch.Generator().manual_seed(seed)
    sources, destinations = pool[torch.randint(len(pool), (2, n), generator=generator)]
    probs = (blind_search.stands(model, share)[-1].tokens[destinations] @ model.W_U).softmax(-1) * outs
    drawn = torch.multinomial(probs, 1, generator=generator)[:, 0]
    return list(zip(sources.tolist(), destinations.tolist(), drawn.tolist()))


def removal(
    model, share: Float[Tensor, " d_vocab"], term: tuple[int, int, int], moment: Float[Tensor, "d_model d_model"] | None
) -> editing.Edit:
    """The smallest edit of the term's strongest head after which the weights add nothing to the out any more.

    The head is made to give what all heads together gave before, with the opposite sign, so that their sum is zero.
    """
    found, (source, destination, out) = score_term(model, share, term), term
    layer, head = found.layer.item(), found.head.item()
    stand = blind_search.stands(model, share)[layer]
    looks = blind_search.looks_at(model, layer, stand, torch.tensor([destination]), torch.tensor([source]))[head].item()
    read = model.W_U[:, out] - model.W_U.mean(1)
    return editing.ov_edit(model, layer, head, stand.tokens[source], read, -found.added.item() / looks, moment)


def looking_away(
    model, share: Float[Tensor, " d_vocab"], term: tuple[int, int, int], moment: Float[Tensor, "d_model d_model"],
    by: float = 6.0,
) -> editing.Edit:  # fmt: skip
    """The smallest edit of W_Q that lowers the strongest head's score of the source, over `<BOS>`, by so much."""
    found, (source, destination, _) = score_term(model, share, term), term
    layer, head = found.layer.item(), found.head.item()
    tokens, place = blind_search.stands(model, share)[layer].tokens, model.W_pos
    query = tokens[destination] + place[blind_search.QUERY]
    keys = tokens[source] + place[blind_search.KEY] - tokens[0] - place[0]
    return editing.qk_edit(model, layer, head, query, keys, -by, moment)


def misquoted(
    model, token: int, instead: int, windows: Int[Tensor, "window pos"], pool: Int[Tensor, " choice"],
    n_contexts: int = 100,
) -> Float[Tensor, "2 context"]:  # fmt: skip
    """log P(instead) - log P(token) after `[A] … [A]`, in nats: where the token followed the first A, and a random one.

    A is the context's own last token; the first A and what follows it are put 3 to 20 tokens before the end.
    """
    twins = twin_prompts(token, 0, windows, pool, n_contexts)
    rows = torch.arange(n_contexts)
    lacking = windows[(windows[:, :32] != token).all(1)]
    order = torch.randperm(len(lacking), generator=torch.Generator().manual_seed(0))[:n_contexts]
    A = lacking[order, 31]
    prompts = [twins.given.clone(), twins.without.clone()]
    for part in prompts:
        part[:, -1], part[rows, twins.place - 1] = A, A
    log_probs = torch.stack([end_log_probs(model, part) for part in prompts])
    return log_probs[..., instead] - log_probs[..., token]


def behaviour_grid(
    model, destinations: Int[Tensor, " destination"], sources: Int[Tensor, " source"], outs: Bool[Tensor, " d_vocab"],
    windows: Int[Tensor, "window pos"], pool: Int[Tensor, " choice"], n_contexts: int = 8,
) -> tuple[Float[Tensor, "destination source"], Int[Tensor, "destination source"]]:  # fmt: skip
    """The score of `skip_trigram_search` from runs instead of weights, for every pair: and the out that has it.

    p and p' are what the model says without and with the source, as mean log-probabilities over contexts, normalised.
    """
    score = torch.zeros(len(destinations), len(sources))
    best = torch.zeros_like(score, dtype=torch.long)
    for row, destination in enumerate(destinations.tolist()):
        for column, source in enumerate(sources.tolist()):
            twins = twin_prompts(source, destination, windows, pool, n_contexts)
            both = end_log_probs(model, torch.cat([twins.given, twins.without])).unflatten(0, (2, -1)).mean(1)
            given, without = both.log_softmax(-1)
            share = (given.exp() * (given - without)).masked_fill(~outs, -torch.inf)
            score[row, column], best[row, column] = share.max(-1)
    return score, best


def mean_spread_won(values: Float[Tensor, " context"]) -> list[float]:
    """Mean, standard deviation, and the share above zero."""
    return [values.mean().item(), values.std().item(), (values > 0).float().mean().item()]


def paired_cost(after: Float[Tensor, " window"], before: Float[Tensor, " window"]) -> list[float]:
    """What a change costs in nats a token, and its standard error over windows."""
    difference = after - before
    return [difference.mean().item(), (difference.std() / len(difference) ** 0.5).item()]
