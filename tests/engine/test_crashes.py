"""A training that crashes at any write goes on as if it had not."""

import shutil

import pytest
from engine.crashes import Crash, crash_at
from engine.small_training import BEST, EPOCHS, snapshot, train
from helpers import figure, some_of

from condseg_mmseg.engine.atomic_checkpoint import numbered_checkpoints


@pytest.mark.slow
@pytest.mark.timeout(7200)  # all of them
def test_every_place_to_crash(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        count = crash_at(patch, None, torn=False)
        train(tmp_path / 'uninterrupted', **BEST)
        places = next(count)
    uninterrupted = snapshot(tmp_path / 'uninterrupted')
    assert places > 50
    chosen = some_of(places, every=4)
    for number in chosen:
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
    figure('crashes of one training', f'{2 * len(chosen)}, at {len(chosen)} of {places} places')
