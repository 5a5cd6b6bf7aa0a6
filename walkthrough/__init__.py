"""A Mathematical Framework for Transformer Circuits, done on a laptop: start with notebooks/00_start_here.ipynb."""
