"""One function for each task, as the command line and a notebook call it."""

from .predict import load_predictor, predict
from .pretrained import pretrained

__all__ = ['load_predictor', 'predict', 'pretrained']
