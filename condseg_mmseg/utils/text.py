"""Text of messages."""

from collections.abc import Iterable


def first_ten(items: Iterable[object], lines: bool = False) -> str:
    """Name the first ten, and how many more there are.

    Args:
        items: What is named, each as ``str`` writes it.
        lines: One a line, each after a line break and two blanks. Default False: with commas.

    Returns:
        ``'a, b'``, or of thirteen ``'a, ..., j and 3 more'``; empty for no item.
    """
    names = [str(item) for item in items]
    more = [f'and {len(names) - 10} more'] if len(names) > 10 else []
    if lines:
        return ''.join(f'\n  {line}' for line in (*names[:10], *more))
    return ' '.join([', '.join(names[:10]), *more])
