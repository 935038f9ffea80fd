"""Finds what is wrong with a data set or an installation."""

from .dataset import check_dataset
from .environment import check_environment

__all__ = ['check_dataset', 'check_environment']
