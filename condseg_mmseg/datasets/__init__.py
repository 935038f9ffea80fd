"""Data sets and transforms."""

from . import former_names  # noqa: F401  (registers them)
from .binary_medical import BinaryMedicalDataset, DatasetFilesError
from .load_binary_mask import LoadBinaryMask
from .official import KeepBackgroundMask, LoadSoftMask, PackSoftSegInputs, RandomRotateReflect
from .resize_with_mask import ResizeWithMask
from .score_at_input_size import ScoreAtInputSize
from .seeded_draws import SampleIndex, SeededDraws, SeededInfiniteSampler, SeededSampler

__all__ = [
    'BinaryMedicalDataset',
    'DatasetFilesError',
    'KeepBackgroundMask',
    'LoadBinaryMask',
    'LoadSoftMask',
    'PackSoftSegInputs',
    'RandomRotateReflect',
    'ResizeWithMask',
    'SampleIndex',
    'ScoreAtInputSize',
    'SeededDraws',
    'SeededInfiniteSampler',
    'SeededSampler',
]
