"""Building blocks of the neck and the decoder."""

from .cdfa import ContrastDrivenFeatureAggregation
from .checkpoint import recompute
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
    'recompute',
    'resize_to',
]
