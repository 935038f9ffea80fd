"""What is wrong with the files: collected first, told together."""

from __future__ import annotations

from collections.abc import Iterable

_SHOWN = 20  # problems printed


def some(names: Iterable[str], shown: int = 6) -> str:
    """Join the first names, and say how many more there are."""
    names = [str(name) for name in names]
    more = len(names) - shown
    return ', '.join(names[:shown]) + (f' and {more} more' if more > 0 else '')


def count(number: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f'{number} {noun}' + ('' if number == 1 else 's')


class PrepareError(ValueError):
    """The data set cannot be made; nothing was written.

    Args:
        *problems: One sentence each.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        shown = ''.join(f'\n  {problem}' for problem in problems[:_SHOWN])
        more = len(problems) - _SHOWN
        super().__init__(
            f'{count(len(problems), "problem")}, nothing was written:{shown}'
            + (f'\n  and {more} more' if more > 0 else '')
        )


class Findings:
    """Problems and warnings of a run, in the order found.

    Args:
        allow_incomplete: Turn gaps into warnings.
    """

    def __init__(self, allow_incomplete: bool = False) -> None:
        self.allow_incomplete = allow_incomplete
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def error(self, text: str) -> None:
        """Note what makes the data set impossible."""
        self.problems.append(text)

    def gap(self, text: str) -> None:
        """Note that something is missing, which the user may allow."""
        if self.allow_incomplete:
            self.warnings.append(text)
        else:
            self.problems.append(f'{text} (--allow-incomplete: go on with what is there)')

    def warn(self, text: str) -> None:
        """Note what the user should know."""
        self.warnings.append(text)

    def stop(self) -> None:
        """Raise if there are problems.

        Raises:
            PrepareError: With all of them.
        """
        if self.problems:
            raise PrepareError(*self.problems)
