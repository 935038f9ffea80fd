"""The error of a wrong input."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class UserError(ValueError):
    """What the user gave cannot work; the message names it and says what would.

    The command line prints it as one line. Any other exception is a defect and keeps its traceback.
    """


@contextlib.contextmanager
def user_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Turn errors of what the user gave, where the block raises no others, into user errors.

    Args:
        *kinds: Exceptions to turn, such as ``OSError`` where a file is opened.

    Raises:
        UserError: With the message of the exception.
    """
    try:
        yield
    except UserError:
        raise
    except kinds as error:
        raise UserError(str(error)) from error
