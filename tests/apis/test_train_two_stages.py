"""Both stages in one command: killed, continued, recorded."""

import json
import signal
import socket

import pytest
import torch
from apis.two_stage_bench import STAGE1, STAGE2

from condseg_mmseg.apis._stage_config import Stage
from condseg_mmseg.apis.train_two_stages import how_to_go_on, train_two_stages
from condseg_mmseg.cli import main
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.files import sha256


def test_advice_names_resume_only_where_it_keeps_something(tmp_path):
    one, two = Stage(1, STAGE1), Stage(2, STAGE2)
    assert '--resume' not in how_to_go_on(one, tmp_path)
    assert '--resume keeps stage 1' in how_to_go_on(two, tmp_path)
    (tmp_path / 'epoch_1.pth').touch()
    for stage in (one, two):
        assert how_to_go_on(stage, tmp_path) == '--resume continues from the last checkpoint'


@pytest.fixture
def here(bench, monkeypatch):
    """The bench, with this process in its folder."""
    monkeypatch.chdir(bench.folder)
    monkeypatch.syspath_prepend(str(bench.folder))
    return bench


@pytest.mark.parametrize('inside', ['', '/below'])
def test_a_work_dir_that_is_a_file_is_named(here, inside):
    (here.folder / 'file').write_text('mine')
    with pytest.raises(UserError, match=f'^--work-dir {here.folder}/file{inside} '):
        train_two_stages('stage1.py', 'stage2.py', work_dir=f'file{inside}')
    assert (here.folder / 'file').read_text() == 'mine'


def test_data_of_both_stages_is_examined_before_anything_starts(here):
    bad = ['val_dataloader.dataset.ann_file=absent.txt']
    with pytest.raises(UserError, match=r'^stage 2, stage2\.py: val_dataloader\.dataset does') as e:
        train_two_stages('stage1.py', 'stage2.py', work_dir='work', stage2_options=bad)
    assert 'no such list: data/absent.txt' in str(e.value)
    assert not here.work.exists()


@pytest.mark.slow
def test_killed_in_both_stages_and_continued(here, monkeypatch, capsys):
    bench = here
    # stage 1 is killed after two epochs, and the newest checkpoint is cut off
    status, _ = bench.kill('stage1', 2, signal.SIGKILL)
    assert status == -signal.SIGKILL
    stage1 = bench.work / 'stage1'
    assert (stage1 / 'last_checkpoint').read_text().endswith('epoch_2.pth')
    newest = stage1 / 'epoch_2.pth'
    newest.write_bytes(newest.read_bytes()[:-100])
    attempt = bench.record()['stages']['stage1']['attempts'][0]
    assert (attempt['end'], attempt['status'], attempt['resumed_from']) == (None, None, None)

    # it goes on, also where an earlier version began, and stage 2 is killed after one epoch
    record = bench.record()
    record['tool'] = 'tools/train_two_stages.py'
    (bench.work / 'two_stages.json').write_text(json.dumps(record))
    status, out = bench.kill('stage2', 1, signal.SIGKILL, '--resume')
    assert 'epoch_2.pth is not used: it is truncated or damaged' in out
    assert 'stage 1: from epoch_1.pth' in out
    record = bench.record()['stages']
    assert record['stage1']['complete']
    assert (record['stage1']['epochs'], record['stage1']['iterations']) == (3, 6)
    assert record['stage1']['attempts'][1]['resumed_from'] == 'epoch_1.pth'
    assert not record['stage2']['complete']

    # what stage 2 began with is what stage 1 handed over, statistics of BatchNorm included
    given = record['stage2']['handed_over']
    best = bench.work / given['file']
    assert given['which'] == 'best'
    assert best.name == record['stage1']['best_file']
    assert given['sha256'] == sha256(best)
    start = torch.load(bench.folder / 'stage2_start.pth', weights_only=True)
    weights = torch.load(best, weights_only=True)['state_dict']
    expected = {k[9:]: v for k, v in weights.items() if k.startswith('backbone.')}
    assert set(start) == set(expected)
    for name, value in start.items():
        assert torch.equal(value, expected[name]), name
    assert start['bn1.num_batches_tracked'] > 0
    assert not torch.equal(start['bn1.running_mean'], torch.zeros(8))
    assert f'45 parameters and 45 buffers from backbone.* of work/{given["file"]}' in out

    # stage 2 goes on, stage 1 is not trained again
    before = (stage1 / 'epoch_3.pth').stat().st_mtime_ns
    status, out = bench.run('--resume')
    assert status == 0, out
    assert '== stage 1 is complete' in out
    assert (stage1 / 'epoch_3.pth').stat().st_mtime_ns == before
    record = bench.record()['stages']
    assert len(record['stage1']['attempts']) == 2
    assert [a['resumed_from'] for a in record['stage2']['attempts']] == [None, 'epoch_1.pth']
    assert (record['stage2']['epochs'], record['stage2']['iterations']) == (2, 4)
    assert record['stage2']['last_file'] == 'epoch_2.pth'
    assert record['stage2']['best_metric'] == 'image/mIoU'
    assert 'resumed epoch: 1, iter: 2' in (bench.work / 'stage2.log').read_text()

    # what is complete is left alone, and not mixed with another run
    command = ['train', *bench.args]
    assert main([*command, '--resume']) == 0
    assert '== stage2: 2 epochs, best image/mIoU' in capsys.readouterr().out
    assert main(command) == 2
    assert 'continue it with --resume' in capsys.readouterr().err
    assert main([*command, '--cfg-options', 'randomness.seed=5', '--resume']) == 2
    assert 'randomness.seed: 0 when it was started, 5 now' in capsys.readouterr().err
    assert main([*command, '--hand-over', 'last', '--resume']) == 2
    assert 'was started with --hand-over best' in capsys.readouterr().err
    monkeypatch.chdir(bench.folder.parent)
    command = [str(bench.folder / a) if a.endswith('.py') else a for a in command]
    assert main([*command, '--resume']) == 2
    assert f'was started in {bench.folder}' in capsys.readouterr().err


@pytest.mark.slow
def test_stopped_before_the_first_checkpoint_then_failing(bench):
    status, out = bench.kill('stage1', 0, signal.SIGTERM)
    assert status == 128 + signal.SIGTERM
    assert 'it has no checkpoint yet: the same command starts it anew' in out
    attempt = bench.record()['stages']['stage1']['attempts'][0]
    assert attempt['status'] == 128 + signal.SIGTERM
    assert attempt['end'] >= attempt['start']
    # nothing is saved yet, so that its config may still change; stage 2 then has a mistake
    one = ['--stage1-options', 'train_cfg.max_epochs=1', 'default_hooks.checkpoint.save_best=None']
    bad = ['--stage2-options', 'val_evaluator.0.type=NoSuchMetric']
    status, out = bench.run('--resume', *one, *bad)
    assert status == 1
    assert 'stage1 has changed and no checkpoint yet, it starts anew: ' in out
    assert 'no best checkpoint to start from' in out
    assert 'Its last checkpoint is handed over' in out
    assert 'error: stage 2 ended with status 1' in out
    assert 'NoSuchMetric' in out[out.index('error: stage 2') :]
    # after the correction stage 1 is not trained again
    status, out = bench.run('--resume', *one)
    assert status == 0, out
    record = bench.record()['stages']
    tried = [[attempt['status'] for attempt in record[s]['attempts']] for s in record]
    assert tried == [[128 + signal.SIGTERM, 0], [1, 0]]
    assert record['stage1']['epochs'] == 1
    handed = record['stage2']['handed_over']
    assert (handed['file'], handed['which']) == ('stage1/epoch_1.pth', 'last')


@pytest.mark.slow
def test_two_processes_share_the_images(bench, monkeypatch):
    """On this machine's CPU or GPUs: eight images in batches of two make two steps an epoch."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        monkeypatch.setenv('PORT', str(server.getsockname()[1]))
    half = ['--cfg-options', 'train_dataloader.batch_size=2', 'train_cfg.max_epochs=1']
    status, out = bench.run('--gpus', '2', *half)
    assert status == 0, out
    record = bench.record()['stages']
    assert [entry['iterations'] for entry in record.values()] == [2, 2]
    for name, entry in record.items():
        command = entry['attempts'][0]['command']
        assert command[1:4] == ['-m', 'torch.distributed.run', '--nproc_per_node=2']
        assert command[-2:] == ['--launcher', 'pytorch']
        assert 'Distributed training: True' in (bench.work / f'{name}.log').read_text()
