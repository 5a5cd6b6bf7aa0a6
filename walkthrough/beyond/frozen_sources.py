"""Where a logit comes from: what each head, MLP and bias of any decoder adds to it, from each position of the prompt."""

import torch
from jaxtyping import Float
from torch import Tensor

from walkthrough.beyond.frozen import added_by, check_sum, entering, scale_in, stream_before
from walkthrough.beyond.frozen_weights import b_U_of, check_known, norm_before


def source_hooks(name: str) -> bool:
    """Whether `part_sources` needs a hook's value: a filter for `run_with_cache`."""
    ends = "embed", "scale", "hook_z", "hook_v", "hook_pattern", "mlp_out", "resid_post"
    return name.endswith(ends) and not name.endswith("hook_unembed")


def part_sources(
    model, run, position: int, readout: Float[Tensor, "d_model target"], bias: Float[Tensor, " target"] | None = None
) -> dict[str, Float[Tensor, "target source"]]:  # fmt: skip
    """What each part of the last stream at a position adds to what is read there, from each source position.

    A head's part comes from where it looks; all others from the position itself. `readout` are columns of W_U, or mixtures
    of them, and `bias` the same of b_U: then the sum over parts and sources is the logits, through the final norm with the
    scale of the run. `run` is of one prompt. Raises ValueError for a position that the prompt does not have, and for a model
    with parts that are not known.
    """
    n_layers, n_pos = model.cfg.n_layers, run["hook_embed"].shape[1]
    if not 0 <= position < n_pos:
        raise ValueError(f"there is no position {position}: the prompt has positions 0 to {n_pos - 1}")
    check_known(model, "writes", "between", "logits")
    norm, scale = norm_before(model, n_layers), scale_in(run, model, n_layers)
    scale = scale if isinstance(scale, float) else scale[:1, position]
    here = torch.arange(n_pos) == position
    read = lambda x: (norm.linear(x, scale) @ readout).T  # [place d_model] to [target place]
    parts, total = {}, 0
    streams = entering(model, run)
    for layer in range(n_layers):
        streams |= added_by(model, run, layer)
        block = model.blocks[layer]
        v = run["v", layer][0].repeat_interleave(model.cfg.n_heads // run["v", layer].shape[2], 1)
        for head in range(model.cfg.n_heads):
            sent = run["pattern", layer][0, head, position][:, None] * v[:, head]
            parts[f"{layer}:{head}"] = read(sent @ block.attn.W_O[head])
    for name, stream in streams.items():
        total = total + stream[0, position]
        if ":" not in name:
            parts[name] = read(stream[:1, position]) * here
    check_sum(total, stream_before(model, run, n_layers)[0, position], model.cfg.model_name)
    constant = norm.bias @ readout + (0 if bias is None else bias)
    parts |= {"b_U": constant[:, None] * here} if constant.any() else {}
    return {name: parts[name] for name in [*streams, *["b_U"] * ("b_U" in parts)]}


def part_names(model, run) -> list[str]:
    """The names of the parts, in the order of `part_sources`."""
    names = list(entering(model, run)) + [
        name for layer in range(model.cfg.n_layers) for name in added_by(model, run, layer)
    ]
    constant = norm_before(model, model.cfg.n_layers).bias @ model.W_U + b_U_of(model)
    return names + ["b_U"] * bool(constant.any())
