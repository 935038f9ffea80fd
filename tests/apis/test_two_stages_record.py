"""The record of both trainings: when it is begun, continued or refused."""

import json
from pathlib import Path

import pytest
import torch

from condseg_mmseg.apis._stage_config import Stage
from condseg_mmseg.apis._two_stages_record import (
    Record,
    choose_hand_over,
    open_record,
    outcome,
    unfinished,
)
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.files import sha256

STAGES = ('condseg-stage1_r18_1xb8-3e_demo-96x96', 'condseg_r18_1xb8-4e_demo-96x96')


def _stages(*options):
    return [Stage(number, name, options) for number, name in enumerate(STAGES, 1)]


@pytest.fixture
def failed(tmp_path, monkeypatch):
    """A working directory with the record of a run that failed at once."""
    monkeypatch.chdir(tmp_path)
    record = Record.new(tmp_path / 'work', directory='/elsewhere', hand_over='last')
    for stage in _stages('randomness.seed=7'):
        record['stages'][stage.name] = dict(
            settings=stage.settings, complete=False, attempts=[dict(status=1)]
        )
    record.save()
    (tmp_path / 'work' / 'stage1').mkdir()
    return record


def test_a_run_without_any_checkpoint_may_start_anew(failed):
    before = failed.path.read_text()
    record, messages = open_record(failed.folder, _stages(), 'best', resume=False)
    assert messages == [f'{failed.folder} holds a run without any checkpoint: it starts anew']
    assert (record['directory'], record['hand_over']) == (str(Path.cwd()), 'best')
    for entry in record['stages'].values():
        assert entry['attempts'] == [dict(status=1)]
        assert entry['settings']['randomness'].get('seed') != 7
    assert failed.path.read_text() == before  # nothing is written yet


@pytest.mark.parametrize('what', ['stage1/epoch_1.pth', 'stage2/epoch_1.pth', None])
def test_a_run_with_something_to_keep_is_not_started_anew(failed, what):
    if what:
        (failed.folder / what).parent.mkdir(exist_ok=True)
        (failed.folder / what).touch()
    else:
        failed['stages']['stage1']['complete'] = True
        failed.save()
    with pytest.raises(UserError, match='continue it with --resume'):
        open_record(failed.folder, _stages(), 'best', resume=False)


@pytest.mark.parametrize('tool', ['condseg train', 'tools/train_two_stages.py'])
def test_a_run_is_continued_with_the_same_settings_only(failed, tool):
    """Also one that a version with the second name began."""
    failed.update(tool=tool, directory=str(Path.cwd()))
    failed.save()
    record, messages = open_record(failed.folder, _stages('randomness.seed=7'), 'last', resume=True)
    assert (record, messages) == (failed, [])
    _, messages = open_record(failed.folder, _stages(), 'last', resume=True)
    changed = 'has changed and no checkpoint yet, it starts anew: randomness.seed: 7 when'
    assert [message.partition(' ')[2][: len(changed)] for message in messages] == [changed] * 2
    (failed.folder / 'stage1' / 'epoch_1.pth').touch()
    with pytest.raises(UserError, match=r'stage1 was trained with other(.|\n)*randomness\.seed: 7'):
        open_record(failed.folder, _stages(), 'last', resume=True)


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / 'mine').touch()
    with pytest.raises(UserError, match='is not empty, and no run of both stages'):
        open_record(tmp_path, _stages(), 'best', resume=False)


def test_the_record_is_whole_at_any_time(tmp_path):
    record = Record.new(tmp_path, hand_over='best')
    record.save()
    record['hand_over'] = {1, 2}  # JSON has no sets
    with pytest.raises(TypeError):
        record.save()
    assert Record.read(tmp_path)['hand_over'] == 'best'
    assert Record.read(tmp_path / 'absent') is None
    ours = dict(tool='condseg train', format=2)
    for text, message in (
        ('{', 'not JSON'),
        ('{}', 'not a record'),
        (json.dumps(ours), 'format 2, this version knows 1'),
    ):
        record.path.write_text(text)
        with pytest.raises(UserError, match=message):
            Record.read(tmp_path)


def test_the_checkpoint_that_was_handed_over_must_stay_the_same(tmp_path):
    record = Record.new(tmp_path, hand_over='best')
    record['stages'] = dict(stage1=dict(last_file='epoch_2.pth'), stage2={})
    last = tmp_path / 'stage1' / 'epoch_2.pth'
    last.parent.mkdir()
    last.write_bytes(b'weights')
    chosen, messages = choose_hand_over(record)
    assert chosen == last
    assert len(messages) == 1
    assert messages[0].endswith('Its last checkpoint is handed over')
    kept = dict(file='stage1/epoch_2.pth', which='last', sha256=sha256(last))
    assert Record.read(tmp_path)['stages']['stage2']['handed_over'] == kept
    assert choose_hand_over(record) == (last, [])
    last.write_bytes(b'other weights')
    with pytest.raises(UserError, match=r'epoch_2\.pth, which stage 2 started from, is gone or'):
        choose_hand_over(record)
    record['stages'] = dict(stage1=dict(last_file=None), stage2={})
    with pytest.raises(UserError, match='needs a CheckpointHook'):
        choose_hand_over(record)


def _checkpoint(path, epoch, best=None, score=0.5):
    info = dict(keep_ckpt_ids=[epoch])
    if best:
        info |= dict(best_score=score, best_ckpt=f'/elsewhere/{best}')
    hub = dict(runtime_info=info, log_scalars={})
    torch.save(dict(meta=dict(epoch=epoch, iter=4 * epoch), message_hub=hub), path)


def test_the_outcome_is_that_of_the_newest_whole_checkpoint(tmp_path):
    _checkpoint(tmp_path / 'epoch_2.pth', 2, 'best_a_epoch_1.pth')
    _checkpoint(tmp_path / 'best_a_epoch_1.pth', 1)
    assert outcome(tmp_path) == dict(
        epochs=2, iterations=8, last_file='epoch_2.pth', best_file='best_a_epoch_1.pth',
        best_score=0.5,
    )  # fmt: skip
    assert outcome(tmp_path / 'absent')['last_file'] is None
    (tmp_path / 'epoch_3.pth').write_bytes(b'damaged')
    assert outcome(tmp_path)['last_file'] == 'epoch_2.pth'
    _checkpoint(tmp_path / 'epoch_4.pth', 4, 'best_a_epoch_4.pth')  # which was lost
    assert outcome(tmp_path)['last_file'] == 'epoch_4.pth'


def test_what_a_crash_left_half_written_is_no_checkpoint_and_no_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / 'work'
    folder.mkdir()
    begun = [folder / '.two_stages.x7_.json', folder / 'stage1' / '.epoch_1.x7_.pth']
    begun[0].touch()
    record, _ = open_record(folder, _stages(), 'best', resume=False)
    begun[1].parent.mkdir()
    begun[1].touch()
    assert unfinished(folder) == begun
    assert not record.has_something()
    (folder / 'mine').touch()
    with pytest.raises(UserError, match='is not empty, and no run of both stages'):
        open_record(folder, _stages(), 'best', resume=False)


def test_a_record_that_cannot_be_written_is_named(failed, monkeypatch):
    def read_only(**options):
        raise OSError(30, 'Read-only file system')

    before = failed.path.read_text()
    monkeypatch.setattr('tempfile.mkstemp', read_only)
    words = r'two_stages\.json cannot be written: Read-only file system; what was saved before'
    with pytest.raises(UserError, match=words):
        failed.save()
    assert failed.path.read_text() == before
