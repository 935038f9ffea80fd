"""Losses: pure functions in ``functional``, registered shells beside it."""

from .bce_dice import BCEDiceLoss
from .consistency import ConsistencyLoss
from .sid import SIDLoss

__all__ = ['BCEDiceLoss', 'ConsistencyLoss', 'SIDLoss']
