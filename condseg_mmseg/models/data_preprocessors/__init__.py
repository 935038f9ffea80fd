"""Data preprocessors."""

from .two_view import TwoViewSegDataPreProcessor

__all__ = ['TwoViewSegDataPreProcessor']
