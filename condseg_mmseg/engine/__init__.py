"""What surrounds training: for now, safe loading of mmengine's checkpoints."""

from .safe_globals import allow_mmengine_checkpoints

allow_mmengine_checkpoints()

__all__ = ['allow_mmengine_checkpoints']
