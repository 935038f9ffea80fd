"""The parts of ConDSeg, registered into mmseg's own registries."""

from .backbones import EfficientNetLite, StemResNet
from .data_preprocessors import TwoViewSegDataPreProcessor
from .decode_heads import EncoderFusionHead, SIDHead, SizeAwareDecodeHead
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
    'SIDHead',
    'SIDLoss',
    'SemanticInformationDecoupling',
    'SizeAwareDecodeHead',
    'StemResNet',
    'TwoViewSegDataPreProcessor',
    'ValLossEncoderDecoder',
]
