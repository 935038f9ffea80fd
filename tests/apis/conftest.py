"""The bench of the tests that train both stages."""

import subprocess
import sys

import pytest
from apis.two_stage_bench import Bench
from helpers import ROOT


@pytest.fixture(scope='module')
def two_stage_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('two_stages')
    command = [
        sys.executable, ROOT / 'tools/dataset_converters/prepare.py', 'demo', folder / 'data',
        '--num-train', '8', '--num-val', '2', '--num-test', '2', '--size', '64',
    ]  # fmt: skip
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    return folder / 'data'


@pytest.fixture
def bench(tmp_path, two_stage_data):
    (tmp_path / 'data').symlink_to(two_stage_data)
    return Bench(tmp_path)
