"""The outlook aggregation at the heart of CDFA: mathematics only, no parameters, torch only."""

from .outlook import BACKENDS, outlook_aggregate

__all__ = ['BACKENDS', 'outlook_aggregate']
