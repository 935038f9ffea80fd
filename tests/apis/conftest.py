"""What several tests of this folder use: trainings of two stages, a small model, two runs."""

import pytest
import torch
from apis.score_files import A, B, write
from apis.two_stage_bench import Bench
from small_models import CONFIG, build

from condseg_mmseg.apis.predict import load_predictor
from condseg_mmseg.cli import main


@pytest.fixture(scope='session')
def two_stage_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('two_stages')
    sizes = '--num-train 8 --num-val 2 --num-test 2 --size 64'
    assert main(['prepare', 'demo', str(folder / 'data'), *sizes.split()]) == 0
    return folder / 'data'


@pytest.fixture
def bench(tmp_path, two_stage_data):
    (tmp_path / 'data').symlink_to(two_stage_data)
    return Bench(tmp_path)


@pytest.fixture(scope='session')
def condseg(tmp_path_factory):
    """A folder with the checkpoints model.pth and other.pth of the small ConDSeg."""
    folder = tmp_path_factory.mktemp('condseg')
    build(CONFIG, folder / 'model.pth')
    other = torch.load(folder / 'model.pth')
    for name, value in other['state_dict'].items():
        if value.is_floating_point():
            other['state_dict'][name] = value * 1.01
    torch.save(other, folder / 'other.pth')
    return folder


@pytest.fixture(scope='session')
def predictor(condseg):
    return load_predictor(config=CONFIG, checkpoint=condseg / 'model.pth', device='cpu')


@pytest.fixture
def two_runs(tmp_path):
    """Two files of scores of the same five images."""
    return write(tmp_path / 'a.csv', A), write(tmp_path / 'b.csv', B)
