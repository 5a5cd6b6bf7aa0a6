"""Controls in front of figures: explorers that answer to pointer, keys and typing."""

from walkthrough.widgets.attention_explorer import AttentionExplorer
from walkthrough.widgets.circuit_explorer import CircuitExplorer
from walkthrough.widgets.composition_explorer import CompositionExplorer
from walkthrough.widgets.logit_explorer import LogitExplorer

__all__ = ["AttentionExplorer", "CircuitExplorer", "CompositionExplorer", "LogitExplorer"]
