"""Data sets and transforms."""

from .background_mask import KeepBackgroundMask
from .binary_medical import BinaryMedicalDataset, DatasetFilesError
from .transforms import BinarizeMask, ScoreAtInputSize

__all__ = [
    'BinarizeMask',
    'BinaryMedicalDataset',
    'DatasetFilesError',
    'KeepBackgroundMask',
    'ScoreAtInputSize',
]
