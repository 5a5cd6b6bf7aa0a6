"""The numbers of the front page and of the training page, computed from the shipped models while the site is built."""

import base64
import json
import math
from collections.abc import Iterable
from functools import cache
from typing import Any

import torch

from walkthrough import interventions, models
from walkthrough.bigrams import bigram_log_probs
from walkthrough.two_layers import forming

MODEL = "two-layer"
PROMPT = "class Walrus:\n    def swim(self):\n        pass\n\npet = Wal"
HEAD = (1, 6)  # of the two induction heads the one that matches better, by the model card
GOES_ON = 4  # tokens
FIRST = ("import", "def", " self", " return", " not", ".")
SKIPS = (  # a text, and the word in it that a head is to look at
    ("with open(path) as", " open"), ("import numpy as", " numpy"), ("import matplotlib.pyplot as", " matplotlib"),
    ("x = np.", " np"), ("x = os.path.", " os"), ("x = pytest.", " pytest"),
)  # fmt: skip
AT_ONCE = 5  # tokens in a list
TRAINED_ON = "feed(quokka, leaf)\nfeed(quokka"  # as in notebook 12


def best(probabilities: torch.Tensor, tokens: models.TransformerBridge) -> list[list]:
    """The most probable next tokens, each with its probability."""
    found = probabilities.topk(AT_ONCE)
    return [
        [tokens.to_string([i]), round(p, 4)] for i, p in zip(found.indices.tolist(), found.values.tolist(), strict=True)
    ]


def goes_on(model: models.TransformerBridge, ids: torch.Tensor, hooks: Any) -> str:
    """What a model writes next, if it always takes the most probable token."""
    for _ in range(GOES_ON):
        ids = torch.cat([ids, model.run_with_hooks(ids, fwd_hooks=hooks)[:, -1:].argmax(-1)], 1)
    return model.to_string(ids[0, -GOES_ON:].tolist())


def rows(run: Any, heads: Iterable[str]) -> dict[str, list[float]]:
    """Where heads look from the last token."""
    pairs = {head: map(int, head.split(":")) for head in heads}
    return {head: [round(x, 4) for x in run["pattern", layer][0, h, -1].tolist()] for head, (layer, h) in pairs.items()}


@cache
@torch.no_grad()
def walrus() -> dict[str, Any]:
    """The front page's prompt: where each head looks from its last token, and the prediction with and without each."""
    model = models.load(MODEL)
    ids = model.to_tokens(PROMPT)
    logits, kept = model.run_with_cache(ids)
    chances = logits[0, -1].softmax(-1)
    said = int(chances.argmax())
    heads = [(layer, head) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]
    without = {
        "": {"top": best(chances, model), "chance": round(float(chances[said]), 4), "goes": goes_on(model, ids, [])}
    }
    for layer, head in heads:
        hooks = interventions.ablate(model, [(layer, head)])
        with model.hooks(fwd_hooks=hooks):
            last, then = model.run_with_cache(ids)
        after = last[0, -1].softmax(-1)
        without[f"{layer}:{head}"] = {
            "top": best(after, model), "chance": round(float(after[said]), 4), "goes": goes_on(model, ids, hooks), "looks": rows(then, kinds()),
        }  # fmt: skip
    return {
        "model": MODEL, "prompt": PROMPT, "head": "{}:{}".format(*HEAD), "query": ids.shape[1] - 1,
        "ids": ids[0].tolist(), "tokens": ["<BOS>", *(model.to_string([i]) for i in ids[0, 1:].tolist())],
        "next": [said, model.to_string([said])],
        "looks": rows(kept, [f"{layer}:{head}" for layer, head in heads]),
        "without": without,
        "kinds": kinds(),
    }  # fmt: skip


def kinds() -> dict[str, str]:
    """What the model's card says of its heads: which are previous-token heads, which are induction heads."""
    measured = models.read_card(MODEL)["measured"]
    found = {}
    for layer in range(2):
        for kind, word in (("previous_token", "previous-token head"), ("prefix_matching", "induction head")):
            for head, score in enumerate(measured[f"{kind}_layer_{layer}"]):
                if score > 0.5:
                    found[f"{layer}:{head}"] = f"{word}, score {score:.2f}"
    return found


@cache
@torch.no_grad()
def bigrams() -> list[dict[str, Any]]:
    """After some tokens, what the zero-layer model says next: rows of one table, W_E W_U."""
    model = models.load("zero-layer")
    table = bigram_log_probs(model.W_E, model.W_U).exp()
    return [{"after": token, "top": best(table[model.to_single_token(token)], model)} for token in FIRST]


@cache
@torch.no_grad()
def skip_trigrams() -> list[dict[str, Any]]:
    """What the one-layer model says after the same last token, for several words before it, and who looks at the word."""
    model, found = models.load("one-layer"), []
    for text, word in SKIPS:
        ids = model.to_tokens(text)
        logits, kept = model.run_with_cache(ids)
        source = ids[0].tolist().index(model.to_single_token(word))
        weights = kept["pattern", 0][0, :, -1, source]
        found.append({
            "after": text, "source": word, "back": ids.shape[1] - 1 - source, "weight": round(float(weights.max()), 4),
            "head": int(weights.argmax()), "top": best(logits[0, -1].softmax(-1), model), "goes": goes_on(model, ids, []),
        })  # fmt: skip
    return found


@torch.no_grad()
def relay() -> dict[str, Any]:
    """The two steps to the front page's prediction: who looks from the first mention at the token before, and who finds it."""
    told = walrus()
    looks = told["looks"][told["head"]]
    found = max(range(len(looks)), key=looks.__getitem__)
    note = next(head for head, kind in told["kinds"].items() if kind.startswith("previous"))
    layer, head = map(int, note.split(":"))
    pattern = models.load(MODEL).run_with_cache(torch.tensor([told["ids"]]))[1]["pattern", layer][0, head]
    return {"found": found, "note": note, "before": round(float(pattern[found, found - 1]), 4), "share": looks[found]}


def guess() -> float:
    """The loss, in nats, of taking every token of the vocabulary for equally likely."""
    return math.log(models.load(MODEL).cfg.d_vocab)


def copies() -> list[dict[str, Any]]:
    """By the models' cards, the loss on 60 random tokens, said once and said again: with no layer, one and two."""
    names = ("zero-layer", "one-layer", "two-layer")
    cards = {name: models.read_card(name)["measured"] for name in names}
    return [
        {"model": name, "first": round(card["first_copy_loss"], 2), "second": round(card["second_copy_loss"], 2)}
        for name, card in cards.items()
    ]


@cache
@torch.no_grad()
def training() -> dict[str, Any]:
    """The recorded run: losses and scores at all looks, and what two heads look at in each checkpoint that was kept."""
    run, one = forming.curves(0), forming.curves(0, "one-layer")
    previous, induction = forming.winners(run)
    series = forming.checkpoints()
    prompt_ids = next(iter(series.values())).to_tokens(TRAINED_ON)
    patterns, heads = [], {"previous": (0, previous), "induction": (1, induction)}
    query, key = torch.tril_indices(prompt_ids.shape[1], prompt_ids.shape[1])
    for model in series.values():
        kept = model.run_with_cache(prompt_ids)[1]
        each = torch.stack([kept["pattern", layer][0, head] for layer, head in heads.values()])
        patterns.append((100 * each[:, query, key]).round().to(torch.uint8))
    rounded = lambda curve: [round(x, 3) for x in curve.tolist()]
    return {
        "looks": [int(n) for n in run["tokens"].tolist()],
        "at": [forming.tokens_at(step) for step in series],
        "curves": {
            "loss": {"two layers": rounded(run["text_loss"]), "one layer": rounded(one["text_loss"])},
            "scores": {
                f"0:{previous} previous token": rounded(run["previous_token"][:, 0, previous]),
                f"1:{induction} induction (prefix matching)": rounded(run["prefix_matching"][:, 1, induction]),
            },
        },
        "heads": {kind: f"{layer}:{head}" for kind, (layer, head) in heads.items()},
        "tokens": ["<BOS>", *(model.to_string([i]) for i in prompt_ids[0, 1:].tolist())],
        "patterns": base64.b64encode(torch.stack(patterns).numpy().tobytes()).decode(),
    }  # fmt: skip


def script(id: str, data: Any) -> str:
    """Data that a page's script reads, as an element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{id}">{text}</script>'
