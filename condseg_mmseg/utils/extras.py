"""Packages of the extras, which not every installation has."""

from __future__ import annotations

import importlib
from types import ModuleType

from .errors import UserError


class MissingPackage(UserError, ImportError):
    """A package that does not import; the message names the extra that brings it."""


def require(module: str, what: str, extra: str) -> ModuleType:
    """Import a module, or say how to install it.

    Args:
        module: Its name, such as ``'scipy.stats'``.
        what: What needs it, for the message.
        extra: The extra of this package that brings it, such as ``'metrics'``.

    Returns:
        The module.

    Raises:
        MissingPackage: It does not import.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackage(
            f'{what} needs {module.partition(".")[0]}, which does not import ({error}): '
            f'pip install "condseg-mmseg[{extra}]"'
        ) from error
