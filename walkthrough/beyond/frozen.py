"""A run of any decoder taken apart, with what is not linear in it held as it was: patterns, and the scales of norms.

LayerNorm and RMSNorm, biases, positions in the stream or in W_Q and W_K, rotation, MLPs of any kind, grouped-query heads.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.beyond.frozen_weights import b_U_of, check_known, grouped_head, norm_before
from walkthrough.paths import head_output, layer_parts

NUMBERS = 2**28  # that a result may hold: 1 GiB of float32


def scale_in(cache, model, layer: int) -> Float[Tensor, "batch pos 1"] | float:
    """What the norm before a layer (or before W_U, after the last) divided by in a run; 1 where there is no norm."""
    name = "ln_final" if layer == model.cfg.n_layers else f"blocks.{layer}.ln1"
    return cache[f"{name}.hook_scale"] if norm_before(model, layer).eps is not None else 1.0


def needed(name: str) -> bool:
    """Whether a hook's value is needed to take a run apart: a filter for `run_with_cache` that keeps the cache small."""
    ends = "embed", "scale", "hook_z", "hook_pattern", "mlp_out", "hook_resid_pre", "resid_post", "hook_cos", "hook_sin"
    return name.endswith(ends) and not name.endswith("hook_unembed")


def added_by(model, cache, layer: int) -> dict[str, Float[Tensor, "batch pos d_model"]]:
    """What a layer adds to the stream in a run: each head ("3:0", b_V and all), "MLP 3", and the biases "b_O 3", "b_out 3".

    An MLP's output comes without its last bias. Biases that are zero are left out.
    """
    block, z = model.blocks[layer], cache[f"blocks.{layer}.attn.hook_z"]
    parts = {f"{layer}:{head}": part for head, part in enumerate(layer_parts(z, block.attn.W_O))}
    biases = {f"b_O {layer}": getattr(block.attn, "b_O", None)}
    if f"blocks.{layer}.hook_mlp_out" in cache:
        written, b_out = cache[f"blocks.{layer}.hook_mlp_out"], getattr(block.mlp, "b_out", None)
        parts[f"MLP {layer}"] = written if b_out is None else written - b_out
        biases[f"b_out {layer}"] = b_out
    some = next(iter(parts.values()))
    return parts | {name: b.expand_as(some) for name, b in biases.items() if b is not None and b.any()}


def stream_before(model, cache, layer: int) -> Float[Tensor, "batch pos d_model"]:
    """All of the stream that a layer reads in a run; that W_U reads, if `layer` is the number of layers."""
    if model.cfg.n_layers == 0:
        return cache["hook_embed"]
    last = f"blocks.{layer - 1}.hook_resid_post"
    return cache[last if layer == model.cfg.n_layers else f"blocks.{layer}.hook_resid_pre"]


def entering(model, cache, first: int = 0) -> dict[str, Float[Tensor, "batch pos d_model"]]:
    """Leaves of the stream that layer `first` reads: "tokens" and, where they are in the stream, "positions".

    From a later layer on, it is one leaf, named like "stream 16".
    """
    if first > 0:
        return {f"stream {first}": stream_before(model, cache, first)}
    names = {"tokens": "hook_embed", "positions": "hook_pos_embed"}
    parts = {part: cache[name] for part, name in names.items() if name in cache}
    return {part: x.expand_as(cache["hook_embed"]) for part, x in parts.items()}


def named_parts(
    model, cache, layer: int | None = None, first: int = 0
) -> dict[str, Float[Tensor, "batch pos d_model"]]:  # fmt: skip
    """The stream that a layer reads in a run, or W_U's without a `layer`, as the sum of all that was ever added to it.

    "tokens", "positions", then each layer's heads, MLP and biases; what came before layer `first` is one part. `cache`
    is what `run_with_cache` returns. Raises ValueError for a layer that there is not, and where the parts do not add up
    to the stream, as in a model that does something to it which is not known here (Elhage et al. 2021, "Transformer
    Overview": the residual stream).
    """
    layer = model.cfg.n_layers if layer is None else layer
    if not 0 <= first <= layer <= model.cfg.n_layers:
        raise ValueError(f"layers {first} to {layer} are not in order, or more than {model.cfg.n_layers}")
    check_known(model, "writes", "between")
    parts = entering(model, cache, first)
    for earlier in range(first, layer):
        parts |= added_by(model, cache, earlier)
    check_sum(sum(parts.values()), stream_before(model, cache, layer), model.cfg.model_name)
    return parts


def check_sum(total: Float[Tensor, "*any"], true: Float[Tensor, "*any"], name: str) -> None:
    """Raise ValueError unless a sum of parts is what a model really has there, but for rounding."""
    if (total - true).abs().max() > 1e-3 * true.abs().max():
        raise ValueError(
            f"the parts of {name.rpartition('/')[2]} do not add up to what it computes: it does something that no formula "
            "of this course takes apart exactly"
        )


def frozen_stream_parts(
    cache, W_O: Float[Tensor, "layer head d_head d_model"]
) -> Float[Tensor, "part batch pos d_model"]:  # fmt: skip
    """`paths.stream_parts` of any decoder: positions, MLPs and biases are parts too, in the order of `named_parts`."""
    return torch.stack(list(named_parts(cache.model, cache, len(W_O)).values()))


def frozen_logit_parts(
    model, tokens: Int[Tensor, "batch pos"], targets: Int[Tensor, " target"] | None = None, first: int = 0
) -> dict[str, Float[Tensor, "batch pos target"]]:  # fmt: skip
    """Direct logit attribution: what each part of the last stream adds to the logits of `targets`, or of all tokens.

    The final norm's scale is that of the run, and its bias is in "b_U"; the sum is the model's logits. Raises
    ValueError if that is more than `NUMBERS` numbers.
    """
    logits, cache = model.run_with_cache(tokens, names_filter=needed)
    parts = named_parts(model, cache, first=first)
    wanted = model.cfg.d_vocab if targets is None else len(targets)
    if len(parts) * tokens.numel() * wanted > NUMBERS:
        raise ValueError(f"{len(parts)} parts of {tokens.numel()} positions are too much: give some `targets`")
    return read_out(model, cache, parts, logits, slice(None) if targets is None else targets)


def read_out(
    model, cache, streams: dict[str, Float[Tensor, "batch pos d_model"]],
    true: Float[Tensor, "batch pos d_vocab"], columns: slice | Int[Tensor, " target"] = slice(None),
) -> dict[str, Float[Tensor, "batch pos target"]]:  # fmt: skip
    """Logits of parts of the last stream, with the final norm's scale as in the run; its bias, and W_U's, are "b_U".

    Raises ValueError if they do not add up to the `true` logits of the run.
    """
    check_known(model, "logits")
    norm, scale = norm_before(model, model.cfg.n_layers), scale_in(cache, model, model.cfg.n_layers)
    W_U, b_U = model.W_U[:, columns], (norm.bias @ model.W_U + b_U_of(model))[columns]
    logits = {part: norm.linear(x, scale) @ W_U for part, x in streams.items()}
    logits |= {"b_U": b_U.expand_as(next(iter(logits.values())))} if b_U.any() else {}
    check_sum(sum(logits.values()), true[..., columns], model.cfg.model_name)
    return logits


def frozen_path_expansion(
    model, tokens: Int[Tensor, "batch pos"], first: int = 0
) -> dict[str, Float[Tensor, "batch pos d_vocab"]]:  # fmt: skip
    """`paths.path_expansion` of any decoder, with patterns and the scales of norms as in its run: the sum is its logits.

    Paths start in leaves: the embedding ("direct", then "0:3", "0:3 → 1:5" through heads), "positions", what each MLP
    writes ("MLP 0", "MLP 0 → 1:5"), and biases: "b_O 0", "b_out 0", "b_V 0:2" (what a head makes of its value bias and
    of the norm's), and last "b_U", which the final norm's bias is part of. From a later layer `first` on, "direct" is
    all of the stream that this layer reads. Raises ValueError where the paths would be more than `NUMBERS` numbers.
    """
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    logits, cache = model.run_with_cache(tokens, names_filter=needed)
    named_parts(model, cache, first=first)  # or the sentence that says why it cannot be done
    start, *others = entering(model, cache, first).items()
    streams = {"direct": start[1], **dict(others)}
    for layer in range(first, n_layers):
        check_count(model, len(streams) * (n_heads + 1), tokens.numel(), first)
        norm, scale, pattern = norm_before(model, layer), scale_in(cache, model, layer), cache["pattern", layer]
        read = {path: norm.linear(stream, scale) for path, stream in streams.items()}
        for number in range(n_heads):
            head = grouped_head(model, layer, number)
            for path, stream in read.items():
                name = f"{layer}:{number}" if path == "direct" else f"{path} → {layer}:{number}"
                streams[name] = head_output(pattern[:, number], stream, head.W_V, head.W_O)
            constant = (norm.bias @ head.W_V + head.b_V) @ head.W_O
            streams |= {f"b_V {layer}:{number}": constant.expand_as(streams["direct"])} if constant.any() else {}
        streams |= {name: part for name, part in added_by(model, cache, layer).items() if ":" not in name}
    return read_out(model, cache, streams, logits)


def check_count(model, paths: int, places: int, first: int) -> None:
    """Raise ValueError if so many paths are too many to hold; it names a later layer from which they are not."""
    n_layers, n_heads, room = model.cfg.n_layers, model.cfg.n_heads, NUMBERS / places / model.cfg.d_vocab
    if paths <= room:
        return
    later, most = n_layers, 2
    while most * (n_heads + 1) + n_heads + 3 <= room and later > 0:  # each layer's MLP and biases begin paths too
        later, most = later - 1, most * (n_heads + 1) + n_heads + 3
    advice = f"take first={later}" if later < n_layers else "shorten the prompt"
    raise ValueError(
        f"from layer {first} on, {model.cfg.model_name} has {paths:,} paths or more, with {places} × "
        f"{model.cfg.d_vocab} logits each: too many to hold, so {advice}"
    )
