"""What surrounds training: safe and strict loading of checkpoints, mixed precision on a CPU."""

from .optim_wrapper import AutocastOptimWrapper
from .safe_globals import allow_mmengine_checkpoints
from .strict_pretrained import StrictPretrained

allow_mmengine_checkpoints()

__all__ = ['AutocastOptimWrapper', 'StrictPretrained', 'allow_mmengine_checkpoints']
