"""The parts of ConDSeg, registered into mmseg's own registries."""

from .backbones import EfficientNetLite, StemResNet
from .data_preprocessors import TwoViewSegDataPreProcessor
from .decode_heads import (
    EncoderFusionHead,
    PraNetHead,
    SIDHead,
    SizeAwareDecodeHead,
    UNetHead,
)
from .layers import ContrastDrivenFeatureAggregation, SemanticInformationDecoupling
from .losses import BCEDiceLoss, ConsistencyLoss, SIDLoss
from .necks import CDFANeck
from .segmentors import BinarySegTTAModel, ConsistencyReinforcement, ValLossEncoderDecoder

__all__ = [
    'BCEDiceLoss',
    'BinarySegTTAModel',
    'CDFANeck',
    'ConsistencyLoss',
    'ConsistencyReinforcement',
    'ContrastDrivenFeatureAggregation',
    'EfficientNetLite',
    'EncoderFusionHead',
    'PraNetHead',
    'SIDHead',
    'SIDLoss',
    'SemanticInformationDecoupling',
    'SizeAwareDecodeHead',
    'StemResNet',
    'TwoViewSegDataPreProcessor',
    'UNetHead',
    'ValLossEncoderDecoder',
]
