"""Which maps a backbone returns."""

from collections.abc import Sequence


def check_out_indices(out_indices: Sequence[int], last: int) -> tuple[int, ...]:
    """Return the indices of the maps as a tuple.

    Args:
        out_indices: Ascending, one or more.
        last: The largest index that there is.

    Raises:
        ValueError: There is none, or they are not ascending or not all in 0..``last``.
    """
    indices = tuple(out_indices)
    within = all(0 <= index <= last for index in indices)
    if not indices or not within or list(indices) != sorted(set(indices)):
        raise ValueError(f'out_indices must be ascending numbers from 0 to {last}, got {indices}')
    return indices
