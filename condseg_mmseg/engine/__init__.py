"""What surrounds training: safe loading of mmengine's checkpoints, mixed precision on a CPU."""

from .optim_wrapper import AutocastOptimWrapper
from .safe_globals import allow_mmengine_checkpoints

allow_mmengine_checkpoints()

__all__ = ['AutocastOptimWrapper', 'allow_mmengine_checkpoints']
