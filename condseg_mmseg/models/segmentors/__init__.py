"""Segmentors and test-time augmentation."""

from .tta import BinarySegTTAModel
from .val_loss import ValLossEncoderDecoder

__all__ = ['BinarySegTTAModel', 'ValLossEncoderDecoder']
