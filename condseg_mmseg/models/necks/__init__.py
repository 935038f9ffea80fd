"""Necks."""

from .cdfa_neck import CDFANeck

__all__ = ['CDFANeck']
