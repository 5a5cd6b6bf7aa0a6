"""What two kinds of head do to tokens: the previous-token head (transport or attraction?) and the induction head (how
far?).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough import behaviour
from walkthrough.architecture import bos, leaves_out
from walkthrough.beyond.cosines import unit_vectors
from walkthrough.beyond.forces import force_by_distance, messages
from walkthrough.beyond.shared_model import shuffled_texts
from walkthrough.paths import layer_parts

Head = tuple[int, int]


def highest_head(scores: Sequence[Float[Tensor, " head"]]) -> Head:
    """The (layer, head) of the largest score, from one row for each layer."""
    table = torch.stack(list(scores))
    return divmod(int(table.argmax()), table.shape[1])


def previous_token_head(model, tokens: Int[Tensor, "text pos"]) -> Head:
    """The head that looks most at the token before, in these texts."""
    cache = model.run_with_cache(tokens)[1]
    return highest_head(
        [behaviour.previous_token_score(cache["pattern", layer]) for layer in range(model.cfg.n_layers)]
    )


def induction_head(model, length: int = 40) -> Head:
    """The head that looks most at what followed the earlier copy, in random tokens said twice."""
    tokens = behaviour.repeated_tokens(model.cfg.d_vocab, length, 2, 16, seed=3, bos=bos(model))
    cache = model.run_with_cache(tokens)[1]
    layers = range(model.cfg.n_layers)
    return highest_head([behaviour.prefix_matching_score(cache["pattern", layer], length) for layer in layers])


@leaves_out("writes")
@torch.no_grad()
def head_moves(model, tokens: Int[Tensor, "text pos"], head: Head) -> dict[str, Float[Tensor, " text"]]:
    """What a head's output does to each token's cosine with the one before it, and with all earlier ones: a mean for
    each text.

    And whose message it is: the cosine of the output with what the token before sends (its x W_V W_O), with what an
    average earlier token sends, and with the vector of the token before itself. A transport has a message of the
    previous token near 1 that does not point to its vector; an attraction raises the first number.
    """
    layer, number = head
    cache = model.run_with_cache(tokens)[1]
    x = cache["resid_pre", layer][:, 1:]
    added = layer_parts(cache["z", layer], model.W_O[layer])[number][:, 1:]
    carried = messages(model, cache, layer, number)[:, 1:]
    gain = unit_vectors(x + added) @ unit_vectors(x).mT - unit_vectors(x) @ unit_vectors(x).mT  # [text query key]
    alike = unit_vectors(added) @ unit_vectors(carried).mT
    earlier = torch.ones(x.shape[1], x.shape[1]).tril(-2).bool()
    before = {"offset": -1, "dim1": 1, "dim2": 2}
    return {
        "to the previous": gain.diagonal(**before).mean(-1),
        "to earlier ones": gain[:, earlier].mean(-1),
        "message of the previous": alike.diagonal(**before).mean(-1),
        "message of earlier ones": alike[:, earlier].mean(-1),
        "vector of the previous": (unit_vectors(added) @ unit_vectors(x).mT).diagonal(**before).mean(-1),
    }


@leaves_out("writes")
@torch.no_grad()
def force_reach(model, head: Head, length: int, mixed: bool = False) -> Float[Tensor, " distance"]:
    """`force_by_distance` of a head in the second copy of random tokens; if `mixed`, that copy is in another order.

    An induction head should pull from `length` - 1 tokens back: from what followed the earlier copy.
    """
    tokens = behaviour.repeated_tokens(model.cfg.d_vocab, length, 2, 16, seed=length, bos=bos(model))
    if mixed:
        again = shuffled_texts(tokens[:, length:], seed=length)[:, 1:]
        tokens = torch.cat([tokens[:, : length + 1], again], 1)
    layer, number = head
    cache = model.run_with_cache(tokens)[1]
    return force_by_distance(cache["pattern", layer][:, number], messages(model, cache, layer, number), length + 1)
