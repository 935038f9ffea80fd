"""ConDSeg for MMSegmentation; importing the package registers all of its modules."""

import sys

from .stack import import_failure, require_stack, runs_command, without_notes_of_the_forks
from .version import __version__

try:  # before anything below imports mmseg, so that its absence is one clear message
    require_stack()
except ImportError as error:
    if runs_command():
        sys.exit(f'error: {error}')
    raise

try:
    with without_notes_of_the_forks():
        from . import datasets, engine, evaluation, models, visualization  # noqa: F401
except ImportError as error:
    if not import_failure(error):
        raise
    raise ImportError(import_failure(error), name=error.name, path=error.path) from error

__all__ = ['__version__']
