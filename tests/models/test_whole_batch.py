"""Two processes have the gradient of one with the whole batch: no BatchNorm, sums over ranks."""

import subprocess
import sys

import pytest
import torch
from helpers import ROOT, load_script

WORKER = 'tests/models/whole_batch_worker.py'
SECONDS = 120


@pytest.mark.slow
@pytest.mark.parametrize(
    'name', ['condseg_r18_1xb8-4e_demo-96x96', 'condseg-stage1_r18_1xb8-3e_demo-96x96']
)
def test_gradients_are_those_of_one_process_with_the_whole_batch(tmp_path, request, name):
    """In float64, to 1e-9 of the largest gradient of a parameter."""
    if 'stage1' in name:
        pytest.importorskip('kornia', reason='needs the extra "consistency"')
    config = str(ROOT / 'configs' / 'condseg' / f'{name}.py')
    processes = [
        subprocess.Popen(
            [sys.executable, WORKER, str(rank), str(tmp_path / 'store'), str(tmp_path), config],
            cwd=ROOT, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        for process in processes:
            _, errors = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, errors
    finally:
        for process in processes:
            process.kill()
    worker = load_script(WORKER)
    model = worker.build(config)
    expected = worker.gradients(model, worker.batch('stage1' in name))
    assert len(expected) > 50
    for rank in range(2):
        for key, value in torch.load(tmp_path / f'{rank}.pth').items():
            error = (value - expected[key]).abs().max()
            assert error <= 1e-9 * max(expected[key].abs().max(), 1e-3), key
