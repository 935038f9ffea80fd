"""Data sets and transforms."""

from .background_mask import KeepBackgroundMask
from .binary_medical import BinaryMedicalDataset, DatasetFilesError
from .cache import CacheTransforms
from .native_augmentation import RandomRotateReflect
from .soft_mask import PackSoftSegInputs, ResizeWithSoftMask, SoftMask
from .transforms import BinarizeMask, ScoreAtInputSize

__all__ = [
    'BinarizeMask',
    'BinaryMedicalDataset',
    'CacheTransforms',
    'DatasetFilesError',
    'KeepBackgroundMask',
    'PackSoftSegInputs',
    'RandomRotateReflect',
    'ResizeWithSoftMask',
    'ScoreAtInputSize',
    'SoftMask',
]
