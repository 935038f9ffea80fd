"""What surrounds training and testing: safe and strict loading, what is faster."""

from .atomic_checkpoint import AtomicCheckpointHook
from .channels_last import ChannelsLastHook
from .check_finite import CheckFiniteHook
from .checkpoint_loader import read_checkpoint, read_weights, register_loaders
from .compile_hook import CompileHook
from .constant_prediction import ConstantPredictionHook
from .fuse_conv_bn import FuseConvBNHook, fuse_model
from .non_empty_epoch_train_loop import NonEmptyEpochTrainLoop, no_full_batch
from .optim_wrapper import AutocastOptimWrapper
from .safe_globals import allow_mmengine_checkpoints
from .seeded_iterations import SeededIterationsHook
from .strict_load import StrictLoadHook
from .strict_pretrained import StrictPretrained

allow_mmengine_checkpoints()
register_loaders()

__all__ = [
    'AtomicCheckpointHook',
    'AutocastOptimWrapper',
    'ChannelsLastHook',
    'CheckFiniteHook',
    'CompileHook',
    'ConstantPredictionHook',
    'FuseConvBNHook',
    'NonEmptyEpochTrainLoop',
    'SeededIterationsHook',
    'StrictLoadHook',
    'StrictPretrained',
    'allow_mmengine_checkpoints',
    'fuse_model',
    'no_full_batch',
    'read_checkpoint',
    'read_weights',
]
