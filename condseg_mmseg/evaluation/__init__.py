"""Scores."""

from .per_image_metric import PerImageBinaryMetric

__all__ = ['PerImageBinaryMetric']
