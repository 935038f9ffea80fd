"""One test for each option that changes a result: its value by hand, through the command line."""

import json

import cv2
import numpy as np
import pytest
import torch
from folders import score, write
from small_models import build, make_data, write_plain

from condseg_mmseg.apis import train as one
from condseg_mmseg.apis import train_two_stages as two
from condseg_mmseg.apis._two_stages_record import Record, choose_hand_over
from condseg_mmseg.cli import contact_sheet, main
from condseg_mmseg.utils.process import ProcessError

# ------------------------------------------------------------------------------- evaluate


def square(y, x, side=4, shape=(16, 16)):
    mask = np.zeros(shape, bool)
    mask[y : y + side, x : x + side] = True
    return mask


def test_map_norm(tmp_path):
    """A map of 0 and 0.4 (102 of 255) on a truth of 16 of 256 pixels."""
    write(tmp_path / 'gt/a.png', 255 * square(2, 3))
    write(tmp_path / 'pred/a.png', 102 * square(2, 3))
    options = ('--extra-metrics', 'mae', '--pred-mode', 'probability')
    for norm, expected in (('none', 0.6 * 16 / 256), ('minmax', 0)):
        report = score(tmp_path, *options, '--map-norm', norm)
        assert report['results']['image/mMAE'] == pytest.approx(100 * expected, abs=1e-6)
    assert score(tmp_path, *options)['results']['image/mMAE'] == pytest.approx(3.75, abs=1e-6)


@pytest.mark.parametrize(('tolerance', 'expected'), [(1, 0), (1.99, 0), (3, 100), (None, 0)])
def test_surface_tolerance(tmp_path, tolerance, expected):
    """Two single pixels, three apart; the default is 2."""
    write(tmp_path / 'gt/a.png', 255 * square(8, 5, 1))
    write(tmp_path / 'pred/a.png', 255 * square(8, 8, 1))
    options = ['--surface-tolerance', tolerance] if tolerance else []
    found = score(tmp_path, '--extra-metrics', 'surface_dice', *options)
    assert found['results']['image/mSurfaceDice'] == expected


def interval(values, resamples, seed):
    """A percentile bootstrap, written out."""
    draw = np.random.default_rng(seed)
    means = [values[draw.integers(len(values), size=len(values))].mean() for _ in range(resamples)]
    return [np.quantile(means, end) for end in (0.025, 0.975)]


def test_bootstrap_and_seed(tmp_path):
    for i in range(6):
        write(tmp_path / f'gt/{i}.png', 255 * square(4, 4, 6))
        write(tmp_path / f'pred/{i}.png', 255 * square(4 + i, 4, 6))
    dice = np.array([100 * max(0, 6 - i) / 6 for i in range(6)])  # of the rows that overlap
    for options, expected in (
        (('--bootstrap', 37), (37, 0)),
        (('--bootstrap', 37, '--seed', 5), (37, 5)),
        (('--bootstrap', 20), (20, 0)),
    ):
        found = score(tmp_path, *options)['results']
        ends = [found['image/mDice_low'], found['image/mDice_high']]
        assert ends == pytest.approx(interval(dice, *expected), abs=1e-6)


@pytest.mark.parametrize(
    ('policy', 'recall', 'precision', 'dice'),
    [('strict', 50, 50, 50), ('official', 100, 50, 50), ('skip', 100, 50, 50)],
)
def test_empty_policy(tmp_path, policy, recall, precision, dice):
    """A perfect image, and an empty truth with a predicted speck."""
    for name, truth in (('a', square(4, 4)), ('b', 0 * square(0, 0))):
        write(tmp_path / f'gt/{name}.png', 255 * truth)
        write(tmp_path / f'pred/{name}.png', 255 * square(4, 4))
    found = score(tmp_path, '--empty-policy', policy)['results']
    values = [found[f'image/{key}'] for key in ('mRecall', 'mPrecision', 'mDice')]
    assert values == pytest.approx([recall, precision, dice], abs=1e-6)
    if policy == 'strict':
        assert score(tmp_path)['results'] == found


# -------------------------------------------------------------------------------- compare


def compare(tmp_path, a, b, *options):
    for name, values in (('a', a), ('b', b)):
        rows = [f'{i}.png,{value!r}' for i, value in enumerate(values)]
        (tmp_path / f'{name}.csv').write_text('\n'.join(['img_path,dice', *rows, '']))
    files = [str(tmp_path / f'{name}.csv') for name in 'ab']
    out = tmp_path / 'out.json'
    argv = ['compare', *files, '--json', str(out), '--force', *map(str, options)]
    assert main(argv) == 0
    return json.loads(out.read_text())


def test_resamples_and_seed_of_compare(tmp_path):
    a, b = [0.0] * 5, [1.0, 2.0, 4.0, 8.0, 16.0]
    for options, expected in (
        (('--resamples', 23), (23, 0)),
        (('--resamples', 23, '--seed', 3), (23, 3)),
        ((), (1000, 0)),
    ):
        found = compare(tmp_path, a, b, *options)['scores']['dice']['interval']
        assert found == pytest.approx(interval(np.array(b), *expected))


def test_what_counts_as_equal(tmp_path):
    """Up to 1e-9, below that of any printed digit."""
    report = compare(tmp_path, [0.0] * 4, [5e-10, -5e-10, 2e-9, -2e-9])
    found = report['scores']['dice']
    assert [found[key] for key in ('b_better', 'equal', 'a_better')] == [1, 2, 1]
    assert [x['image'] for x in report['most_changed']['images']] == ['2.png', '3.png']


# -------------------------------------------------------------------------- contact sheet


def test_indices_split_and_num(tmp_path, capsys):
    config, data = write_plain(tmp_path), make_data(tmp_path / 'data')
    build(config, tmp_path / 'model.pth')
    head, tile = 30, 52

    def sheet(*options):
        out = tmp_path / 'out.png'
        argv = [config, tmp_path / 'model.pth', '--out', out, '--force', '--tile', 48]
        assert contact_sheet.main(list(map(str, [*argv, '--data-root', data, *options]))) == 0
        return cv2.imread(str(out))[head:]

    every = sheet('--num', 4)
    assert every.shape[:2] == (4 * tile, 132 + 4 * tile)
    rows = [every[tile * i : tile * (i + 1)] for i in range(4)]
    assert np.array_equal(sheet('--indices', 2, 0), np.concatenate([rows[2], rows[0]]))
    assert np.array_equal(sheet('--num', 2), np.concatenate([rows[0], rows[3]]))
    test = sheet('--split', 'test')
    assert test.shape[0] == 3 * tile
    assert not np.array_equal(test[:tile], rows[0])


# ---------------------------------------------------------------------------------- train


@pytest.fixture
def commands(monkeypatch):
    """The processes that would have been started; each "fails"."""
    found = []

    def run(command, log=None, *_, **__):
        found.append(command)
        if log:
            log.touch()
        return 3, None

    for module in (one, two):
        monkeypatch.setattr(module, 'run_logged', run)
    return found


NAME1, NAME2 = 'condseg-stage1_r18_1xb8-3e_demo-96x96', 'condseg_r18_1xb8-4e_demo-96x96'


def test_gpus(commands, monkeypatch):
    for name in ('NNODES', 'NODE_RANK', 'MASTER_ADDR', 'PORT'):
        monkeypatch.delenv(name, raising=False)
    assert main(['train', NAME2, '--gpus', '3']) == 3
    (command,) = commands
    assert command[1:4] == ['-m', 'torch.distributed.run', '--nproc_per_node=3']
    assert command[-2:] == ['--launcher', 'pytorch']


def test_gpus_of_two_stages(commands, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_data(tmp_path / 'data/demo')
    options = ['--gpus', '1', '--cfg-options', 'train_dataloader.batch_size=1']
    assert main(['train', NAME1, NAME2, '--work-dir', 'w', *options]) == 3
    assert '--nproc_per_node=1' in commands[0]
    monkeypatch.setenv('NNODES', '2')  # each machine would wait for the record of the other
    assert main(['train', NAME1, NAME2, '--work-dir', 'other', *options]) == 2
    assert len(commands) == 1


@pytest.mark.parametrize(
    ('given', 'file'), [([], 'best.pth'), (['--hand-over', 'last'], 'epoch_3.pth')]
)
def test_hand_over(tmp_path, monkeypatch, given, file):
    """Stage 1 has written both, stage 2 gets the one that is asked for."""
    monkeypatch.chdir(tmp_path)
    make_data(tmp_path / 'data/demo')
    asked = []

    def written(record):
        stage1 = record.folder / 'stage1'
        stage1.mkdir(exist_ok=True)
        for i, name in enumerate(('best.pth', 'epoch_3.pth')):
            torch.save(dict(state_dict=dict(a=torch.tensor(float(i)))), stage1 / name)
        record['stages']['stage1'].update(last_file='epoch_3.pth')
        chosen, _ = choose_hand_over(record)
        asked.append(chosen.name)
        raise ProcessError('enough', 3, None)

    monkeypatch.setattr(two._Run, 'train', lambda run, stage: written(run.record))
    monkeypatch.setattr(
        'condseg_mmseg.apis._two_stages_record.best_checkpoint', lambda folder: folder / 'best.pth'
    )
    options = [*given, '--cfg-options', 'train_dataloader.batch_size=1']
    assert main(['train', NAME1, NAME2, '--work-dir', 'w', *options]) == 3
    assert asked == [file]
    assert Record.read(tmp_path / 'w')['stages']['stage2']['handed_over']['file'] == (
        f'stage1/{file}'
    )
