"""Building blocks of the neck and the decoder."""

from .cdfa import ContrastDrivenFeatureAggregation
from .checkpoint import recompute
from .convs import add_relu, conv_of, merge_pointwise, norm_act, pointwise
from .feature_enhancement import FeatureEnhancement
from .gates import ChannelGate, SpatialGate
from .resize import resize_to
from .sid import SemanticInformationDecoupling, SIDAdapter

__all__ = [
    'ChannelGate',
    'ContrastDrivenFeatureAggregation',
    'FeatureEnhancement',
    'SIDAdapter',
    'SemanticInformationDecoupling',
    'SpatialGate',
    'add_relu',
    'conv_of',
    'merge_pointwise',
    'norm_act',
    'pointwise',
    'recompute',
    'resize_to',
]
