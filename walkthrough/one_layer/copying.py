"""Which words a one-layer model's heads copy, whole and in two pieces; and how well they are copied in runs."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from walkthrough.circuits import ov_circuit, qk_circuit
from walkthrough.one_layer.skip_trigrams import effect
from walkthrough.searches import relative_to


def copying_table(
    model, words: Int[Tensor, " word"], destinations: Int[Tensor, " destination"], k: int
) -> list[tuple[int, int, list[int], list[int]]]:
    """The k words whose own OV entry stands out most in its row: source, head, 4 keenest destinations, 4 highest outs.

    To stand out is counted in standard deviations of the row above its mean, in the word's best head (Elhage et al.
    2021, "Copying / Primitive In-Context Learning").
    """
    rows = [ov.A[words] @ ov.B for ov in (ov_circuit(model, 0, head) for head in range(model.cfg.n_heads))]
    own = torch.stack([(row.gather(1, words[:, None])[:, 0] - row.mean(1)) / row.std(1) for row in rows])
    table = []
    for word in own.amax(0).argsort(descending=True)[:k].tolist():
        head = own[:, word].argmax().item()
        qk = relative_to(qk_circuit(model, 0, head))
        keenest = destinations[(qk.A[destinations] @ qk.B[:, words[word]]).topk(4).indices]
        table.append((words[word].item(), head, keenest.tolist(), rows[head][word].topk(4).indices.tolist()))
    return table


def split_words(tokenizer) -> list[tuple[int, int, int]]:
    """Words that are one token after a space and two without: ids of " word", of its first half, and of the rest."""
    vocab = sorted(tokenizer.get_vocab().items())  # in which Ġ is a space
    words = [(token, text[1:]) for text, token in vocab if text[0] == "Ġ" and text[1:].isascii() and text[1:].isalpha()]
    pieces = [(token, *tokenizer.encode(text, add_special_tokens=False)) for token, text in words]
    return [word for word in pieces if len(word) == 3]


def rank(table: Float[Tensor, "row column"], column: Int[Tensor, " row"]) -> Int[Tensor, " row"]:
    """How many entries of each row are larger than the one in the column that is named for it."""
    own = table.gather(1, column[:, None])
    return (table > own).sum(1)


def copied_in_pieces(
    model, head: int, whole: Int[Tensor, " word"], first: Int[Tensor, " word"], rest: Int[Tensor, " word"],
    n_outs: int = 20, n_destinations: int = 100,
) -> Bool[Tensor, " word"]:  # fmt: skip
    """For which words a head's tables say [ab] … [a] → [b]: `whole` is ab, `first` a, and `rest` b.

    Those whose `n_outs` highest outs hold b, and whose `n_destinations` keenest destinations hold a (Elhage et al. 2021, "Copying /
    Primitive In-Context Learning": words that are split in two without their space).
    """
    ov, qk = ov_circuit(model, 0, head), relative_to(qk_circuit(model, 0, head))
    raised = ov.A[whole] @ ov.B
    keen = (qk.A @ qk.B[:, whole]).T
    return (rank(raised, rest) < n_outs) & (rank(keen, first) < n_destinations)


def copying_effect(
    model, words: Int[Tensor, " word"], destinations: Int[Tensor, " context"], windows: Int[Tensor, "window pos"],
    pool: Int[Tensor, " choice"], hooks: Sequence = (),
) -> Float[Tensor, " word"]:  # fmt: skip
    """The mean `effect` of each word on itself, in nats, in contexts that end with one destination each.

    `hooks` change the model's runs.
    """
    means = []
    with model.hooks(fwd_hooks=list(hooks)):
        for word in words.tolist():
            means.append(effect(model, word, destinations, [word], windows, pool, len(destinations)).mean())
    return torch.stack(means)
