"""The demo: its steps, what they show, and what stops it. test_packaging.py runs all of it."""

import re
import sys

import pytest

from condseg_mmseg.apis._two_stages_record import Record
from condseg_mmseg.apis.demo import _Steps, demo, shorten
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.process import ProcessError

TRAIN = (
    '11/22 20:03:15 - mmengine - INFO - Epoch(train)  [1][40/40]  base_lr: 1.9543e-03 '
    'lr: 1.9543e-03  eta: 0:14:01  time: 2.4861  loss: 4.6216  decode.loss_mask: 1.4714  '
    'decode.dice: 0.5000  aux.loss_fg: 1.4888'
)
SHORT = 'Epoch(train)  [1][40/40]  eta: 0:14:01  loss: 4.6216  decode.dice: 0.5000'


def test_progress_lines_are_short():
    assert shorten(TRAIN) == SHORT


def test_a_step_shows_progress_and_logs_everything(tmp_path):
    shown, steps = [], None
    steps = _Steps(tmp_path, shown.append)
    (tmp_path / 'talk.log').write_text('of an earlier demo')
    lines = [TRAIN, '== stage 1: from epoch_2.pth', 'other']
    steps.run('talk', 'talk', [sys.executable, '-c', f'print({chr(10).join(lines)!r})'])
    assert shown[:-1] == ['-- talk', f'   {SHORT}', '   stage 1: from epoch_2.pth']
    assert re.fullmatch(r'   \d+ s', shown[-1])
    assert (tmp_path / 'talk.log').read_text().splitlines() == lines


def test_a_failing_step_shows_the_end_of_its_output(tmp_path):
    data = tmp_path / 'set'
    data.mkdir()
    (data / 'mine.txt').write_text('not a generated set')
    with pytest.raises(ProcessError, match=r'not made by this tool') as error:
        demo(tmp_path / 'work', data)
    assert f'the end of {tmp_path / "work" / "data.log"}:\n' in str(error.value)
    assert (data / 'mine.txt').exists()


@pytest.mark.parametrize('name', ['a b', 'a,b', "b'"])
def test_paths_that_mmengine_would_change_are_refused(tmp_path, name):
    path = tmp_path / name
    for work, data in ((tmp_path, path), (path, tmp_path)):
        with pytest.raises(UserError, match='a space, a comma, a quotation mark or a bracket'):
            demo(work, data)
    assert list(tmp_path.iterdir()) == []


def test_another_training_is_not_deleted(tmp_path):
    record = Record.new(tmp_path / 'work' / 'train')
    record['stages'] = dict(stage1=dict(config='configs/condseg/mine.py'))
    (tmp_path / 'work' / 'train').mkdir(parents=True)
    record.save()
    with pytest.raises(UserError, match='train holds another training than the demo'):
        demo(tmp_path / 'work', tmp_path / 'data')
    assert record.path.is_file()
    assert not (tmp_path / 'data').exists()
