"""The parts of ConDSeg, registered into mmseg's own registries."""

from .backbones import EfficientNetLite, StemResNet
from .decode_heads import SIDHead, SizeAwareDecodeHead
from .layers import ContrastDrivenFeatureAggregation, SemanticInformationDecoupling
from .losses import BCEDiceLoss, SIDLoss
from .necks import CDFANeck
from .segmentors import BinarySegTTAModel, ValLossEncoderDecoder

__all__ = [
    'BCEDiceLoss',
    'BinarySegTTAModel',
    'CDFANeck',
    'ContrastDrivenFeatureAggregation',
    'EfficientNetLite',
    'SIDHead',
    'SIDLoss',
    'SemanticInformationDecoupling',
    'SizeAwareDecodeHead',
    'StemResNet',
    'ValLossEncoderDecoder',
]
