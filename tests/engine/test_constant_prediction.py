"""A warning for a network that predicts one class everywhere, once, at the right validation."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from condseg_mmseg.engine import ConstantPredictionHook


class Logger(list):
    warning = list.append


def validate(hook, runner, *maps):
    hook.before_val_epoch(runner)
    for labels in maps:
        sample = SegDataSample(pred_sem_seg=PixelData(data=torch.as_tensor(labels)[None]))
        hook.after_val_iter(runner, 0, None, [sample])
    hook.after_val_epoch(runner, {})


NONE, ALL, SOME = torch.zeros(3, 4, dtype=int), torch.ones(3, 4, dtype=int), torch.eye(3).long()


@pytest.mark.parametrize(
    ('row', 'warned_at', 'text'),
    [
        ([(NONE, NONE)] * 5, [3], 'class 0 (background)'),
        ([(ALL,)] * 3, [3], 'class 1 in all'),
        ([(NONE,), (NONE,), (NONE, SOME), (NONE,), (NONE,)], [], ''),
        ([(NONE, ALL)] * 4, [], ''),
        ([(NONE,), (NONE,), (ALL,), (ALL,), (ALL,)], [5], 'class 1 in all'),
        ([(NONE,)] * 3 + [(SOME,)] + [(NONE,)] * 3, [3, 7], 'class 0'),
        ([()] * 4, [], ''),
    ],
)
def test_one_warning_for_each_row(row, warned_at, text):
    hook, runner = ConstantPredictionHook(), SimpleNamespace(logger=Logger())
    at = []
    for i, maps in enumerate(row, 1):
        before = len(runner.logger)
        validate(hook, runner, *maps)
        at += [i] * (len(runner.logger) - before)
    assert at == warned_at
    assert all(text in line and '3 validations in a row' in line for line in runner.logger)


def test_the_number_is_an_option():
    hook, runner = ConstantPredictionHook(validations=1), SimpleNamespace(logger=Logger())
    validate(hook, runner, NONE)
    assert len(runner.logger) == 1
    with pytest.raises(ValueError, match='validations must be >= 1, got 0'):
        ConstantPredictionHook(validations=0)
