"""The code blocks of README and predict.md run, but for those with a comment ``# needs ...``."""

import os
import re
import subprocess
import sys

import cv2
import pytest
from helpers import ROOT
from small_models import CONFIG, build, make_data

PAGES = ('README.md', 'docs/predict.md')
START = """
set -e
condseg() { "$PYTHON" -m condseg_mmseg "$@"; }
pip() { :; }
"""


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding='utf-8')
    found = re.findall(rf'^```{language}\n(.*?)^```', text, re.MULTILINE | re.DOTALL)
    return [block for block in found if '# needs ' not in block]


@pytest.fixture
def folder(tmp_path):
    """What the blocks take: images/, masks/, IMAGES, W.pth, a picture, a video."""
    make_data(tmp_path)
    (tmp_path / 'IMAGES').symlink_to('images')
    (tmp_path / 'CONFIG').write_text(CONFIG.read_text())
    build(CONFIG, tmp_path / 'W.pth')
    image = cv2.imread(str(tmp_path / 'images' / 'val_0.png'))
    cv2.imwrite(str(tmp_path / 'polyp.jpg'), image)
    video = cv2.VideoWriter(
        str(tmp_path / 'video.mp4'), cv2.VideoWriter_fourcc(*'mp4v'), 5, image.shape[1::-1]
    )
    video.write(image)
    video.release()
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize('page', PAGES)
@pytest.mark.parametrize(
    ('language', 'command'), [('bash', ['bash', '-c']), ('python', [sys.executable, '-c'])]
)
def test_blocks_run(page, language, command, folder):
    found = blocks(page, language)
    assert found
    code = START * (language == 'bash') + re.sub(r'\bCONFIG\b', str(CONFIG), '\n'.join(found))
    environment = os.environ | {'PYTHON': sys.executable}
    result = subprocess.run(
        [*command, code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
