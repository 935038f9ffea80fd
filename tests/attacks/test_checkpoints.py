"""What a loader does with each malicious, damaged or foreign checkpoint; prints it with ``-s``."""

import pytest
import torch
from attacks.checkpoints import checkpoints, sound
from helpers import figure
from mmengine.runner.checkpoint import load_checkpoint
from torch import nn

from condseg_mmseg.engine.checkpoint_loader import ESCAPE, read_checkpoint
from condseg_mmseg.utils.errors import UserError

RUNS_CODE = rf'cannot be read .*{ESCAPE}=1'
DAMAGED = 'cannot be read'
EXPECTED = {
    'a pickle that runs code': RUNS_CODE,
    'a pickle that runs code, as weights': RUNS_CODE,
    'a pickle that looks up a private attribute': RUNS_CODE,
    'a config inside that runs code': None,  # read without it
    'a weight that is NaN': r'not a number \(NaN\) in bias',
    'the weights of another network': None,  # refused by who knows the network: test_strict_load
    'a state dict that is a list': None,  # refused by read_weights
    'a changed bit in a weight': f'{DAMAGED} .*checksum of',
    'the half of a file': f'{DAMAGED} .*truncated',
    'a file without its last bytes': f'{DAMAGED} .*truncated',
    'a hole of zeros': DAMAGED,
    'an empty file': f'{DAMAGED} .*empty',
    'a file of zeros': DAMAGED,
    'a text': DAMAGED,
}


def test_each_is_refused_with_one_line_or_harmless(tmp_path):
    made, refused = tmp_path / 'attacked', 0
    files = checkpoints(tmp_path, made)
    assert files.keys() == EXPECTED.keys()
    for what, path in files.items():
        for load in (read_checkpoint, lambda path: load_checkpoint(nn.Linear(60, 50), str(path))):
            if EXPECTED[what] is None:
                continue
            with pytest.raises(UserError, match=EXPECTED[what]) as error:
                load(path)
            assert path.name in str(error.value)
        if EXPECTED[what] is None:
            assert 'config' not in read_checkpoint(path).get('meta', {})
        else:
            refused += 1
            assert '\n' not in str(error.value)
        print(f'{what}: {error.value if EXPECTED[what] else "read"}')
    assert not made.exists()
    figure('checkpoints, one of each kind', f'{refused} of {len(files)} refused, none ran code')


def test_what_is_sound_is_read(tmp_path):
    checkpoints(tmp_path, tmp_path / 'attacked')
    read, expected = read_checkpoint(tmp_path / 'sound.pth'), sound()
    assert read['meta'] == expected['meta']
    assert all(torch.equal(read['state_dict'][n], w) for n, w in expected['state_dict'].items())


def test_without_the_loader_the_malicious_ones_run(tmp_path):
    """Otherwise the attacks would show nothing."""
    made = tmp_path / 'attacked'
    files = checkpoints(tmp_path, made)
    for what in list(files)[:2]:
        torch.load(files[what], weights_only=False)
        made.rmdir()
    exec(torch.load(files['a config inside that runs code'])['meta']['config'])
    assert made.is_dir()
