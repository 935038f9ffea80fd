"""``condseg demo``: where it works, the table of scores, and when it fails."""

import pytest

from condseg_mmseg.apis import demo as module
from condseg_mmseg.cli import main
from condseg_mmseg.utils.process import ProcessError


@pytest.fixture
def calls(monkeypatch):
    """Replaces the demo by one that scores 79.96 and 60.5; keeps what it was asked for."""
    calls = []

    def demo(work_dir, data, quick, show):
        calls.append((work_dir, data, quick))
        names = ('mDice', 'mIoU', 'mRecall', 'mPrecision')
        scores = dict(val=79.96, test=60.5)
        return dict(
            scores={key: {f'image/{n}': value for n in names} for key, value in scores.items()},
            brightness_threshold_mDice=dict(val=0.25, test=0.125),
            sheets=['val.png', 'test.png'], record='scores.json', training='two_stages.json',
        )  # fmt: skip

    monkeypatch.setattr(module, 'demo', demo)
    return calls


def test_scores_and_files_are_printed(calls, capsys):
    assert main(['demo', '--min-dice', '79']) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.rsplit(maxsplit=2)[0].strip(): line.split()[-2:] for line in lines if line}
    assert rows['ConDSeg mDice'] == ['80.0', '60.5']
    assert rows['best brightness threshold, mDice'] == ['25.0', '12.5']
    for file in ('val.png', 'test.png', 'scores.json', 'two_stages.json'):
        assert any(line.endswith(f' {file}') for line in lines)
    assert calls == [('work_dirs/demo', None, False)]


def test_a_low_score_is_a_failure_that_says_so(calls, capsys):
    assert main(['demo', '--work-dir', 'w', '--data', 'd']) == 1  # 79.96, in the table 80.0
    captured = capsys.readouterr()
    assert 'ConDSeg mDice' in captured.out
    assert captured.err.startswith('error: mean Dice on val is 80.0, below 80.0')
    assert main(['demo', '--quick']) == 0  # has no bar
    assert calls == [('w', 'd', False), ('work_dirs/demo', None, True)]


def test_a_failing_step_is_status_1(monkeypatch, capsys):
    def fail(*args, **more):
        raise ProcessError('the step', 5)

    monkeypatch.setattr(module, 'demo', fail)
    assert main(['demo']) == 1
    assert capsys.readouterr().err == 'error: the step\n'
