"""Data sets and transforms."""

from .background_mask import KeepBackgroundMask
from .binary_medical import BinaryMedicalDataset, DatasetFilesError
from .cache import CacheTransforms
from .native_augmentation import RandomRotateReflect
from .resize_with_mask import ResizeWithMask, ResizeWithSoftMask
from .soft_mask import PackSoftSegInputs, SoftMask
from .transforms import BinarizeMask, ScoreAtInputSize

__all__ = [
    'BinarizeMask',
    'BinaryMedicalDataset',
    'CacheTransforms',
    'DatasetFilesError',
    'KeepBackgroundMask',
    'PackSoftSegInputs',
    'RandomRotateReflect',
    'ResizeWithMask',
    'ResizeWithSoftMask',
    'ScoreAtInputSize',
    'SoftMask',
]
