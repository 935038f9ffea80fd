"""Segmentors and test-time augmentation."""

from .consistency_reinforcement import ConsistencyReinforcement
from .tta import BinarySegTTAModel
from .val_loss import ValLossEncoderDecoder

__all__ = ['BinarySegTTAModel', 'ConsistencyReinforcement', 'ValLossEncoderDecoder']
