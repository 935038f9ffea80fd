"""Heads."""

from .encoder_fusion_head import EncoderFusionHead
from .sid_head import SIDHead
from .size_aware_head import SizeAwareDecodeHead

__all__ = ['EncoderFusionHead', 'SIDHead', 'SizeAwareDecodeHead']
