"""ConDSeg for MMSegmentation; importing the package registers all of its modules."""

from .stack import import_failure, require_stack, without_notes_of_the_forks
from .version import __version__

require_stack()  # before anything below imports mmseg, so that its absence is said once, clearly

try:
    with without_notes_of_the_forks():
        from . import datasets, engine, evaluation, models, visualization  # noqa: F401
except ImportError as error:
    if not import_failure(error):
        raise
    raise ImportError(import_failure(error), name=error.name, path=error.path) from error

__all__ = ['__version__']
