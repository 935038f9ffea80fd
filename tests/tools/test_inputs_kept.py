"""No command writes over what it reads; each says so in one line and leaves the file as it is."""

import os

import cv2
import numpy as np
import pytest
import torch
from helpers import ROOT, run_tool

TOOLS = ROOT / 'tools'
COMMANDS = {
    'condseg2mmseg': ('model_converters/condseg2mmseg.py a.pth link.pth', 'DST', 'a.pth'),
    'compare': ('analysis_tools/compare.py a.csv b.csv --json a.csv', '--json', 'a.csv'),
    'evaluate: mask': (
        'analysis_tools/evaluate_folder.py pred gt --json gt/x.png', '--json', 'gt/x.png'
    ),
    'evaluate: list': (
        'analysis_tools/evaluate_folder.py pred gt --list a.txt --csv a.txt', '--csv', 'a.txt'
    ),
    'check': ('dataset_converters/check.py data --json link.json', '--json', 'data/a.txt'),
    'prepare': (
        'dataset_converters/prepare.py custom data new --train new/train.txt --force', 'OUT',
        'new/train.txt',
    ),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    mask = np.zeros((8, 9), np.uint8)
    mask[2:5, 3:6] = 255
    for name in ('pred', 'gt', 'data/images', 'data/masks'):
        (tmp_path / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / name / 'x.png'), mask)
    for name, text in {
        'a.csv': 'img_path,dice\nx,50\n',
        'b.csv': 'img_path,dice\nx,60\n',
        'a.txt': 'x\n',
        'data/a.txt': 'x\n',
        'new/train.txt': 'x.png\n',
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    torch.save({'x': torch.ones(2)}, tmp_path / 'a.pth')
    (tmp_path / 'link.pth').symlink_to('a.pth')
    os.link(tmp_path / 'data' / 'a.txt', tmp_path / 'link.json')
    return tmp_path


def _content(folder):
    return {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}


@pytest.mark.parametrize('name', COMMANDS)
def test_an_output_that_is_an_input_is_refused(folder, name, monkeypatch, capsys):
    line, option, kept = COMMANDS[name]
    script, *arguments = line.split()
    before = _content(folder)
    monkeypatch.chdir(folder)
    assert run_tool(monkeypatch, TOOLS / script, *arguments) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert f'error: {option} ' in last
    assert last.endswith(f' would overwrite the input {kept}')
    assert _content(folder) == before
