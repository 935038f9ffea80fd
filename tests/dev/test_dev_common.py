"""What the tools for maintainers share."""

import cv2
import numpy as np
import pytest
from dev_common import check, slug
from helpers import ROOT

from condseg_mmseg.configs import read_config
from condseg_mmseg.utils.errors import UserError

DEMO = ROOT / 'configs' / 'condseg' / 'condseg_r18_1xb8-4e_demo-96x96.py'


def test_names_of_folders():
    assert slug('ConDSeg, two stages: recipe') == 'ConDSeg-two-stages-recipe'
    assert slug('U-Net++') == 'U-Net++'


def test_what_cannot_be_built_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder, picture in (('images', np.zeros((8, 8, 3))), ('masks', np.zeros((8, 8)))):
        (tmp_path / folder).mkdir()
        for name in 'abc':
            cv2.imwrite(f'{folder}/{name}.png', picture)
    config = read_config(DEMO)
    for name, part in zip('abc', ('train', 'val', 'test'), strict=True):
        (tmp_path / f'{part}.txt').write_text(name)
        config[f'{part}_dataloader'].dataset.update(data_root=str(tmp_path), ann_file=f'{part}.txt')
    assert 1 < check('demo', config) < 5  # millions
    config.model.neck.type = 'NoNeck'
    with pytest.raises(UserError, match=r'demo cannot be built: KeyError: .*NoNeck'):
        check('demo', config)
