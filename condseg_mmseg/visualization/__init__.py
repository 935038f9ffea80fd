"""Drawing of predictions scored at the network's input size."""

from .local_visualizer import InputSizeSegLocalVisualizer

__all__ = ['InputSizeSegLocalVisualizer']
