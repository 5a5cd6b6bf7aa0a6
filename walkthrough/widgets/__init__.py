"""Controls in front of figures: explorers that answer to pointer, keys and typing; a place for a guess."""

from walkthrough.widgets.attention_explorer import AttentionExplorer
from walkthrough.widgets.checkpoint_explorer import CheckpointExplorer
from walkthrough.widgets.circuit_explorer import CircuitExplorer
from walkthrough.widgets.composition_explorer import CompositionExplorer
from walkthrough.widgets.guess import Guess
from walkthrough.widgets.logit_explorer import LogitExplorer
from walkthrough.widgets.particle_movie import ParticleMovie
from walkthrough.widgets.training_monitor import TrainingMonitor

__all__ = [
    "AttentionExplorer",
    "CheckpointExplorer",
    "CircuitExplorer",
    "CompositionExplorer",
    "Guess",
    "LogitExplorer",
    "ParticleMovie",
    "TrainingMonitor",
]
