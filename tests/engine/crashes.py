"""A machine that loses power at a chosen write, sync, rename or deletion."""

import itertools
import os
from pathlib import Path


class Crash(BaseException):
    """The machine loses power."""


def crash_at(monkeypatch, number, torn):
    """Stop at the given write, rename, sync or deletion of a file that is kept; count them.

    Args:
        number: 0 for the first; None counts only.
        torn: Stop in the middle of it (of a write: after half of it), or after it.
    """
    count = itertools.count()

    def wrap(owner, name):
        plain = getattr(owner, name)

        def call(*args, **kwargs):
            at = next(count)
            if number is None or at < number:
                return plain(*args, **kwargs)
            if at == number and torn and name.startswith('write'):
                plain(args[0], args[1][: len(args[1]) // 2])
            elif at == number and not torn:
                plain(*args, **kwargs)
            raise Crash  # and whatever would tidy up finds no power either

        monkeypatch.setattr(owner, name, call)

    wrap(Path, 'write_bytes')
    wrap(Path, 'write_text')
    wrap(Path, 'unlink')
    wrap(os, 'replace')
    wrap(os, 'fsync')
    return count
