"""The course's models: the only file that knows TransformerLens.

Attention only, no biases, no LayerNorm, untied embeddings, and sinusoidal positions that are added to the inputs
of W_Q and W_K and never to the residual stream (Elhage et al. 2021, "Technical Details"). The formulas of the
paper therefore hold for these models to float precision, with nothing folded in and nothing left over.
"""

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn
from transformer_lens import TransformerBridge, TransformerBridgeConfig
from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module
from transformer_lens.model_bridge.sources.native import NativeAttention, NativeModel
from transformers import PreTrainedTokenizerFast

WEIGHTS = Path(__file__).parent / "weights"
NAMES = ("zero-layer", "one-layer", "two-layer")
BOS = "<BOS>"


def sinusoids(n_ctx: int, d_model: int) -> Float[Tensor, "pos d_model"]:
    """Positions of amplitude 1, with frequencies geometric from pi down to pi / n_ctx radians a token.

    The usual base of 10,000 has few high frequencies; with these a head of low rank can tell neighbours apart.
    """
    frequency = math.pi * torch.logspace(0, -math.log10(n_ctx), d_model // 2)
    angle = torch.arange(n_ctx)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)


class PositionsInQK(NativeAttention):
    """TransformerLens' own attention, with positions added to what W_Q and W_K read and all biases zero."""

    def __init__(self, cfg: TransformerBridgeConfig, positions: Tensor):
        super().__init__(cfg)
        self.positions = [positions]  # in a list: the parameter belongs to the model and is registered there
        for linear in (self.q, self.k, self.v, self.o):
            nn.init.zeros_(linear.bias)
            linear.bias.requires_grad_(False)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        pattern_fn: Callable[[Tensor], Tensor] | None = None,
        **kwargs,
    ) -> tuple[Tensor, Tensor]:
        batch, n_pos, _ = hidden_states.shape
        placed = hidden_states + self.positions[0][slice(0, n_pos) if position_ids is None else position_ids]
        q, k, v = (
            linear(x).view(batch, n_pos, self.n_heads, self.d_head).transpose(1, 2)
            for linear, x in ((self.q, placed), (self.k, placed), (self.v, hidden_states))
        )
        mask = self.causal_mask[:n_pos, :n_pos]
        if attention_mask is not None:
            mask = self._combine_attention_mask(mask, attention_mask, batch=batch)
        pattern = (q @ k.transpose(-1, -2) / self.scale).masked_fill(mask, -math.inf).softmax(-1)
        if attention_mask is not None:  # a row of padding sees nothing at all: zero instead of nan
            pattern = pattern.masked_fill(mask, 0.0)
        if pattern_fn is not None:  # the bridge's hook_pattern, before the values are mixed
            pattern = pattern_fn(pattern)
        return self.o((pattern @ v).transpose(1, 2).flatten(2)), pattern


class PaperModel(NativeModel):
    """The network itself, as a plain module from token ids to logits; `seed` fixes its initial weights."""

    def __init__(self, cfg: TransformerBridgeConfig, seed: int = 0):
        super().__init__(cfg)
        self.pos.weight = nn.Parameter(sinusoids(cfg.n_ctx, cfg.d_model), requires_grad=False)
        for block in self.layers:
            block.attn = PositionsInQK(cfg, self.pos.weight)
        generator = torch.Generator().manual_seed(seed)
        nn.init.normal_(self.tok_embed.weight, std=0.1, generator=generator)
        nn.init.normal_(self.head.weight, std=0.2 * cfg.d_model**-0.5, generator=generator)
        for block in self.layers:
            for linear in (block.attn.q, block.attn.k, block.attn.v):
                nn.init.normal_(linear.weight, std=cfg.d_model**-0.5, generator=generator)
            nn.init.normal_(block.attn.o.weight, std=(cfg.d_model * cfg.n_layers) ** -0.5, generator=generator)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs,
    ) -> Tensor:
        n_pos = (input_ids if inputs_embeds is None else inputs_embeds).shape[1]
        if n_pos > self.cfg.n_ctx:
            raise ValueError(
                f"this prompt is {n_pos} tokens long (with {BOS}), but the model's context is {self.cfg.n_ctx}: "
                f"shorten it to at most {self.cfg.n_ctx} tokens"
            )
        resid = self.tok_embed(input_ids) if inputs_embeds is None else inputs_embeds
        for block in self.layers:  # nothing of position ever enters the residual stream
            (resid,) = block(resid, attention_mask=attention_mask, position_ids=position_ids)
        return self.head(resid)


def config(
    n_layers: int, d_model: int = 256, n_heads: int = 8, n_ctx: int = 256, d_vocab: int = 4096
) -> TransformerBridgeConfig:
    """The paper's architecture as a TransformerLens configuration."""
    return TransformerBridgeConfig(
        n_layers=n_layers, d_model=d_model, n_heads=n_heads, d_head=d_model // n_heads, n_ctx=n_ctx, d_vocab=d_vocab,
        attn_only=True, normalization_type=None, positional_embedding_type="standard", act_fn="gelu",
        architecture="TransformerLensNative",
    )  # fmt: skip
