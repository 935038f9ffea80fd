"""A training that crashes at any write goes on as if it had not."""

import itertools
import os
import shutil
from pathlib import Path

import pytest
from engine.small_training import BEST, EPOCHS, snapshot, train

from condseg_mmseg.engine.atomic_checkpoint import numbered_checkpoints


class Crash(BaseException):
    """The machine loses power."""


def crash_at(monkeypatch, number, torn):
    """Stop at the given write, rename, sync or deletion of a checkpoint; return their count.

    Args:
        number: 0 for the first; None counts only.
        torn: Stop in the middle of it (of a write: after half of the bytes), or after it.
    """
    count = itertools.count()

    def wrap(owner, name):
        plain = getattr(owner, name)

        def call(*args, **kwargs):
            at = next(count)
            if number is None or at < number:
                return plain(*args, **kwargs)
            if at == number and torn and name == 'write_bytes':
                plain(args[0], args[1][: len(args[1]) // 2])
            elif at == number and not torn:
                plain(*args, **kwargs)
            raise Crash  # and whatever would tidy up finds no power either

        monkeypatch.setattr(owner, name, call)

    wrap(Path, 'write_bytes')
    wrap(Path, 'unlink')
    wrap(os, 'replace')
    wrap(os, 'fsync')
    return count


@pytest.mark.slow
def test_every_place_to_crash(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        count = crash_at(patch, None, torn=False)
        train(tmp_path / 'uninterrupted', **BEST)
        places = next(count)
    uninterrupted = snapshot(tmp_path / 'uninterrupted')
    assert places > 50
    for number in range(places):
        for torn in (False, True):
            folder = tmp_path / f'{number}_{torn}'
            with monkeypatch.context() as patch:
                crash_at(patch, number, torn)
                with pytest.raises(Crash):
                    train(folder, **BEST)
            left = numbered_checkpoints(folder)
            runner = train(folder, resume=True, **BEST)
            assert runner.epoch == EPOCHS
            found, pointer = snapshot(folder)
            expected, newest = uninterrupted
            assert pointer == newest
            # a deletion that did not happen leaves a file, and nothing else differs
            assert {name: found[name] for name in expected} == expected, (number, torn, left)
            assert len(found) <= len(expected) + 2
            shutil.rmtree(folder)
