"""Data sets and transforms."""

from .binary_medical import BinaryMedicalDataset, DatasetFilesError
from .transforms import BinarizeMask, ScoreAtInputSize

__all__ = ['BinarizeMask', 'BinaryMedicalDataset', 'DatasetFilesError', 'ScoreAtInputSize']
