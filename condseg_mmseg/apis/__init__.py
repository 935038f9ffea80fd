"""One function for each task, as the command line and a notebook call it."""

from .pretrained import pretrained

__all__ = ['pretrained']
