"""mmseg's own scripts and API with our config, on a small generated data set."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs' / 'condseg' / 'condseg_r18_1xb8-4e_demo-96x96.py'


def run(cwd, script, *args):
    command = [sys.executable, str(ROOT / 'tools' / script), *map(str, args)]
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout + result.stderr


def options(data, *more):
    loaders = ('train_dataloader', 'val_dataloader', 'test_dataloader')
    return [
        '--cfg-options',
        *(f'{loader}.dataset.data_root={data}' for loader in loaders),
        *(f'{loader}.num_workers=0' for loader in loaders),
        *(f'{loader}.persistent_workers=False' for loader in loaders),
        'train_cfg.val_interval=1',
        'default_hooks.logger.interval=1',
        *more,
    ]


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Data, and a run of one epoch made from a folder that is not the repository."""
    folder = tmp_path_factory.mktemp('mmseg_scripts')
    data, work = folder / 'data', folder / 'work'
    run(
        folder, 'dataset_converters/prepare.py', 'demo', data,
        '--num-train', 16, '--num-val', 4, '--num-test', 4, '--size', 96,
    )  # fmt: skip
    run(
        folder, 'train.py', CONFIG, '--work-dir', work,
        *options(data, 'train_cfg.max_epochs=1', 'randomness.seed=3'),
    )  # fmt: skip
    return folder, data, work


def log(work):
    """Scalars of the newest run in a working directory."""
    path = max(work.glob('*/vis_data/scalars.json'), key=lambda p: p.parent.parent.name)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_training_logs_our_losses_and_both_scores(trained):
    rows = log(trained[2])
    steps = [row for row in rows if 'loss' in row]
    assert len(steps) == 2
    for row in steps:
        parts = [value for key, value in row.items() if '.loss_' in key]
        assert len(parts) == 4
        assert row['loss'] == pytest.approx(sum(parts), rel=1e-4)
        assert 'decode.acc_seg' not in row
        assert 1 <= row['aux.beta_fg'] <= 10
    assert {'image/mIoU', 'image/mDice', 'dataset/mIoU'} <= set(rows[-1])


def test_resume_goes_on_where_it_stopped(trained):
    folder, data, work = trained
    run(
        folder, 'train.py', CONFIG, '--work-dir', work, '--resume',
        *options(data, 'train_cfg.max_epochs=2'),
    )  # fmt: skip
    steps = [row for row in log(work) if 'loss' in row]
    assert [row['step'] for row in steps] == [3, 4]


def test_bfloat16_autocast_trains_on_the_cpu(trained):
    folder, data, _ = trained
    work = folder / 'bf16'
    run(
        folder, 'train.py', CONFIG, '--work-dir', work,
        *options(
            data, 'train_cfg.max_epochs=1', 'randomness.seed=3',
            'optim_wrapper.type=AutocastOptimWrapper',
        ),
    )  # fmt: skip
    full, low = (next(r for r in log(w) if 'loss' in r) for w in (trained[2].parent / 'work', work))
    assert low['loss'] != full['loss']
    assert low['loss'] == pytest.approx(full['loss'], rel=1e-3)  # measured: 2e-4


def checkpoint(work):
    return max(work.glob('epoch_*.pth'))


def test_test_script_scores_writes_csv_and_draws(trained):
    folder, data, work = trained
    scores = folder / 'scores.csv'
    out = run(
        folder, 'test.py', CONFIG, checkpoint(work), '--work-dir', folder / 'tested',
        '--show-dir', folder / 'shown',
        *options(data, f'test_evaluator.0.csv_path={scores}'),
    )  # fmt: skip
    with scores.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    mean = sum(float(row['dice']) for row in rows) / 4
    printed = float(re.search(r'image/mDice: ([\d.]+)', out)[1])
    assert printed == pytest.approx(mean, abs=1e-3)
    assert len(list((folder / 'shown').rglob('*.png'))) == 4


def test_tta_through_the_test_script(trained):
    folder, data, work = trained
    out = run(
        folder, 'test.py', CONFIG, checkpoint(work), '--tta', '--work-dir', folder / 'tta',
        *options(data),
    )  # fmt: skip
    assert 'image/mDice' in out


def test_inference_api_predicts_at_the_size_of_the_file(trained):
    from mmseg.apis import MMSegInferencer, inference_model, init_model

    _, data, work = trained
    image = str(next((data / 'images').iterdir()))
    model = init_model(str(CONFIG), str(checkpoint(work)), device='cpu')
    prediction = inference_model(model, image).pred_sem_seg.data
    assert prediction.shape == (1, 96, 96)
    inferencer = MMSegInferencer(str(CONFIG), str(checkpoint(work)), device='cpu')
    again = torch.from_numpy(inferencer(image, show=False)['predictions'])
    assert torch.equal(again, prediction[0].to(again.dtype))


def test_flops_config_browse_and_log_tools(trained):
    folder, data, work = trained
    flops = run(folder, 'mmseg_tool.py', 'analysis_tools/get_flops.py', CONFIG, '--shape', 96, 96)
    assert 'Flops:' in flops
    printed = run(folder, 'mmseg_tool.py', 'misc/print_config.py', CONFIG)
    assert "type='CDFANeck'" in printed
    run(
        folder, 'mmseg_tool.py', 'analysis_tools/browse_dataset.py', CONFIG, '--not-show',
        '--output-dir', folder / 'browsed', *options(data),
    )  # fmt: skip
    assert len(list((folder / 'browsed').iterdir())) == 16
    pytest.importorskip('seaborn', reason="mmseg's analyze_logs.py needs the extra 'analysis'")
    scalars = next(work.glob('*/vis_data/scalars.json'))
    run(
        folder, 'mmseg_tool.py', 'analysis_tools/analyze_logs.py', scalars,
        '--keys', 'decode.loss_mask', '--out', folder / 'curve.png',
    )  # fmt: skip
    curve = cv2.imread(str(folder / 'curve.png'))
    assert curve.shape == (480, 640, 3)
    assert 0.005 < (curve < 128).all(axis=2).mean() < 0.5  # axes, ticks and text


def test_what_does_not_work_says_so(trained):
    """mmseg's --amp asserts an accelerator; README names AutocastOptimWrapper instead."""
    folder, data, _ = trained
    if torch.cuda.is_available():
        pytest.skip('there is an accelerator')
    result = subprocess.run(
        [sys.executable, str(ROOT / 'tools' / 'train.py'), str(CONFIG), '--amp',
         '--work-dir', str(folder / 'amp'), *options(data)],
        cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode != 0
    assert 'AmpOptimizerWrapper`` is only available training on gpu' in result.stderr
