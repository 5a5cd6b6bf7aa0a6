"""What weights miss: suspicions that nobody read in them, and random pairs of tokens, scored from runs and from weights."""

import itertools

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from walkthrough.beyond.bench import Bench, mean_spread_won
from walkthrough.beyond.blind_search import looks_at, moves, skip_trigram_search, stands
from walkthrough.beyond.faithful import end_log_probs, twin_prompts

PAIRS = (  # what is written, the token that one suspects, the one that one would rather have
    ("import hashlib\nh = hashlib.", "md", "sha"),
    ("subprocess.run(cmd, shell=", "True", "False"),
    ("requests.get(url, verify=", "False", "True"),
    ("try:\n    run()\nexcept", ":", " Exception"),
    ("If the programmer wants,", " he", " they"),
    ('torch.device("cuda")\nx.to(device="', "cpu", "cuda"),
    ('ts.tz_localize("Europe/London")\nts.tz_convert(tz="', "US", "E"),
)


def preference(
    model, prompt: str, suspected: str, rather: str, windows: Int[Tensor, "window pos"], n_contexts: int = 100,
    length: int = 24,
) -> Float[Tensor, " context"]:  # fmt: skip
    """log P(suspected) - log P(rather) after the prompt, in nats, behind the starts of so many held-out windows.

    Each text's first token is compared, where it has several. Raises ValueError if the two begin alike.
    """
    tokens = model.to_tokens(prompt, prepend_bos=False)[0]
    pair = [model.to_tokens(text, prepend_bos=False)[0, 0].item() for text in (suspected, rather)]
    if pair[0] == pair[1]:
        raise ValueError(f"{suspected!r} and {rather!r} begin with the same token: there is no preference to measure")
    starts = windows[:n_contexts, :length].long()
    log_probs = end_log_probs(model, torch.cat([starts, tokens.expand(len(starts), -1)], 1))
    return log_probs[:, pair[0]] - log_probs[:, pair[1]]


def weights_preference(
    model, share: Float[Tensor, " d_vocab"], prompt: str, suspected: str, rather: str
) -> tuple[float, float, int]:
    """What weights say of the same: the preference after the last token alone, and the largest skip-trigram's part.

    Both in logits; the third is the source of that skip-trigram, as a token id. The last token stands among average
    tokens, as in `blind_search.stands`, and each earlier token of the prompt is tried as a source.
    """
    tokens = model.to_tokens(prompt, prepend_bos=False)[0]
    a, b = (model.to_tokens(text, prepend_bos=False)[0, 0].item() for text in (suspected, rather))
    read, every = model.W_U[:, a] - model.W_U[:, b], stands(model, share)
    sources, last = tokens[:-1], tokens[-1:]
    added = torch.zeros(len(sources))
    for layer in range(model.cfg.n_layers):
        looks = looks_at(model, layer, every[layer], last, sources)[:, 0]
        added += (looks * (moves(model, layer, every[layer], sources) @ read)).sum(0)
    best = added.abs().argmax()
    return (every[-1].tokens[last[0]] @ read).item(), added[best].item(), sources[best].item()


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


def weights_grid(
    model, share: Float[Tensor, " d_vocab"], destinations: Int[Tensor, " destination"],
    sources: Int[Tensor, " source"], outs: Bool[Tensor, " d_vocab"],
) -> tuple[Float[Tensor, "destination source"], Int[Tensor, "destination source"]]:  # fmt: skip
    """The same from weights: the search's own score for every pair, and the out that has it."""
    n_pairs = len(destinations) * len(sources)
    found = skip_trigram_search(model, share, destinations, sources, outs, n_pairs, least=0.0)
    score = torch.zeros(len(destinations), len(sources))
    best = torch.zeros_like(score, dtype=torch.long)
    row = (found.destination[:, None] == destinations).nonzero()[:, 1]
    column = (found.source[:, None] == sources).nonzero()[:, 1]
    score[row, column], best[row, column] = found.score, found.out
    return score, best


def missed_by_weights(bench: Bench, n: int = 28, n_kept: int = 100) -> dict:
    """The score of random pairs from runs and from weights; and the suspicions, in behaviour and in weights.

    "pairs" are the first `n_kept` by runs: source, destination, out and score from runs, then from weights; "all" the
    scores of all pairs; "suspicions" the pair, its preference (mean, spread, share above zero), and what weights say.
    """
    model, share, text = bench.model, bench.share, bench.text
    dice = torch.Generator().manual_seed(2)
    to, of = (bench.pool[torch.randperm(len(bench.pool), generator=dice)[:n]] for _ in range(2))
    in_runs, said = behaviour_grid(model, to, of, bench.letters, bench.contexts, bench.pool)
    in_weights, expected = weights_grid(model, share, to, of, bench.letters)
    rows = [
        [
            text(of[j]),
            text(to[i]),
            text(said[i, j]),
            in_runs[i, j].item(),
            text(expected[i, j]),
            in_weights[i, j].item(),
        ]
        for i, j in itertools.product(range(n), range(n))
    ]
    felt = []
    for pair in PAIRS:
        direct, added, source = weights_preference(model, share, *pair)
        seen = mean_spread_won(preference(model, *pair, bench.contexts))
        felt.append([*pair, seen, direct, added, text(source)])
    return {
        "pairs": sorted(rows, key=lambda row: -row[3])[:n_kept], "suspicions": felt,
        "all": {"runs": in_runs.flatten().tolist(), "weights": in_weights.flatten().tolist()},
    }  # fmt: skip
