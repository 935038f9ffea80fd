"""Segmentors and test-time augmentation."""

from .tta import BinarySegTTAModel

__all__ = ['BinarySegTTAModel']
