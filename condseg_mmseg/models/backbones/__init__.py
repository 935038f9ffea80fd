"""Encoders that return the maps ConDSeg reads, finest first."""

from .efficientnet_lite import EfficientNetLite
from .stem_resnet import StemResNet

__all__ = ['EfficientNetLite', 'StemResNet']
