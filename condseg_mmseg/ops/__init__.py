"""The outlook aggregation at the heart of CDFA: mathematics only, no parameters, torch only."""

from .outlook import BACKENDS, can_run, outlook_aggregate

__all__ = ['BACKENDS', 'can_run', 'outlook_aggregate']
