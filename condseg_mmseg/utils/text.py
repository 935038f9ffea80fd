"""Text of messages."""

from collections.abc import Iterable


def first(items: Iterable[object], number: int, lines: bool = False) -> str:
    """Name the first of several items, and how many more there are.

    Args:
        items: What is named, each as ``str`` writes it.
        number: The most that are named.
        lines: One a line, each after a line break and two blanks. Default False: with commas.

    Returns:
        ``'a, b'``, or of thirteen with ``number=10`` ``'a, ..., j and 3 more'``; empty for no item.
    """
    names = [str(item) for item in items]
    more = [f'and {len(names) - number} more'] if len(names) > number else []
    if lines:
        return ''.join(f'\n  {line}' for line in (*names[:number], *more))
    return ' '.join([', '.join(names[:number]), *more])


def first_ten(items: Iterable[object], lines: bool = False) -> str:
    """Name the first ten, and how many more there are; see :func:`first`."""
    return first(items, 10, lines)


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as ``'1 image'`` or ``'2 images'``."""
    return f'{number} {noun}' + ('' if number == 1 else 's')


def file_size(size: float) -> str:
    """Return a size in bytes for a message, such as ``'16.8 MB'``."""
    for unit in ('B', 'kB', 'MB'):
        if size < 1000:
            return f'{size:.4g} {unit}'
        size /= 1000
    return f'{size:.1f} GB'
