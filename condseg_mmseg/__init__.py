"""ConDSeg for MMSegmentation; importing the package registers all of its modules."""

import contextlib
import sys

from .stack import import_failure, require_stack
from .version import __version__

require_stack()  # before anything below imports mmseg, so that its absence is said once, clearly

# The forks print when they are imported; what a command of ours prints may be read by a script.
try:
    with contextlib.redirect_stdout(sys.stderr):
        from . import datasets, engine, evaluation, models, visualization  # noqa: F401
except ImportError as error:
    if not import_failure(error):
        raise
    raise ImportError(import_failure(error), name=error.name, path=error.path) from error

__all__ = ['__version__']
