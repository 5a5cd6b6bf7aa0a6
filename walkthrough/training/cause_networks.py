"""The networks of `walkthrough.training.causes`: the variants, and some that differ in less."""

import torch
from torch import Tensor

from walkthrough.models import PaperModel, PositionsInQK
from walkthrough.training.variants import NETWORKS, Rotary, RotaryModel, SmearedKeys, WithoutPositions


class RotaryWithConstant(Rotary):
    """Rotary positions, and one and the same vector, that of position 0, added to all that W_Q and W_K read."""

    def placed(self, resid: Tensor, positions: Tensor | slice) -> Tensor:
        """What W_Q and W_K read."""
        return resid + self.positions[0][0]


class RotaryConstantModel(RotaryModel):
    """Rotary positions with a constant in every layer."""

    def attention(self, cfg, layer: int) -> PositionsInQK:
        """The heads of a layer."""
        return RotaryWithConstant(cfg, self.pos.weight)


class RotaryFirstModel(RotaryModel):
    """Rotary positions in layer 0 alone."""

    def attention(self, cfg, layer: int) -> PositionsInQK:
        """The heads of a layer."""
        return (Rotary if layer == 0 else WithoutPositions)(cfg, self.pos.weight)


class RotaryConstantFirstModel(RotaryModel):
    """Rotary positions with a constant in layer 0, and nothing of position above."""

    def attention(self, cfg, layer: int) -> PositionsInQK:
        """The heads of a layer."""
        return (RotaryWithConstant if layer == 0 else WithoutPositions)(cfg, self.pos.weight)


class SmearedAlone(PaperModel):
    """No positions in any layer, but smeared keys: of order, they are all that a head knows."""

    def attention(self, cfg, layer: int) -> PositionsInQK:
        """The heads of a layer."""
        return SmearedKeys(cfg, torch.zeros_like(self.pos.weight))


class NothingOfOrder(PaperModel):
    """No positions in any layer, and no smear: of order, a head knows the causal mask and nothing else."""

    def attention(self, cfg, layer: int) -> PositionsInQK:
        """The heads of a layer."""
        return WithoutPositions(cfg, self.pos.weight)


ALL_NETWORKS = NETWORKS | {
    "rotary and a constant": RotaryConstantModel, "rotary, first layer": RotaryFirstModel,
    "rotary and a constant, first layer": RotaryConstantFirstModel, "smeared keys alone": SmearedAlone,
    "nothing of order": NothingOfOrder,
}  # fmt: skip
