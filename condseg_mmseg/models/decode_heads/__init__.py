"""Heads."""

from .sid_head import SIDHead
from .size_aware_head import SizeAwareDecodeHead

__all__ = ['SIDHead', 'SizeAwareDecodeHead']
