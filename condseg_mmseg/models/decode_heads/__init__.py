"""Heads."""

from .encoder_fusion_head import EncoderFusionHead
from .pranet_head import PraNetHead
from .sid_head import SIDHead
from .size_aware_head import SizeAwareDecodeHead
from .unet_head import UNetHead

__all__ = ['EncoderFusionHead', 'PraNetHead', 'SIDHead', 'SizeAwareDecodeHead', 'UNetHead']
