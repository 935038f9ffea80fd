"""What surrounds training and testing: safe and strict loading, what is faster."""

from .channels_last import ChannelsLastHook
from .compile_hook import CompileHook
from .fuse_conv_bn import FuseConvBNHook, fuse_model
from .non_empty_epoch_train_loop import NonEmptyEpochTrainLoop, no_full_batch
from .optim_wrapper import AutocastOptimWrapper
from .safe_globals import allow_mmengine_checkpoints
from .strict_pretrained import StrictPretrained

allow_mmengine_checkpoints()

__all__ = [
    'AutocastOptimWrapper',
    'ChannelsLastHook',
    'CompileHook',
    'FuseConvBNHook',
    'NonEmptyEpochTrainLoop',
    'StrictPretrained',
    'allow_mmengine_checkpoints',
    'fuse_model',
    'no_full_batch',
]
