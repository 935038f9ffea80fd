"""The data doctor: how masks are cut, and what one holds."""

import cv2
import numpy as np
import pytest
from helpers import blob

from condseg_mmseg.datasets.load_binary_mask import binarize
from condseg_mmseg.doctor import masks


def _files() -> dict[str, np.ndarray]:
    """Masks as files hold them."""
    noisy = cv2.imdecode(cv2.imencode('.jpg', np.stack([blob()] * 3, 2))[1], 1)
    labels = blob() // 255 * 3
    labels[:, 22:] //= 3
    colour = np.zeros((37, 53, 3), np.uint8)
    colour[blob() > 0] = (0, 0, 200)
    alpha = np.stack([blob(), np.full((37, 53), 255, np.uint8)], 2)
    return dict(
        binary=blob(), ones=blob() // 255, noisy=noisy, labels=labels, colour=colour, alpha=alpha,
        empty=0 * blob(), full=0 * blob() + 255,
    )  # fmt: skip


@pytest.mark.parametrize('name', _files())
@pytest.mark.parametrize(
    'settings',
    [dict(mode='threshold'), dict(mode='threshold', threshold=60), dict(mode='nonzero'), dict(),
     dict(mode='nonzero', ignore_index=3), dict(mode='threshold', ignore_index=1)],
)  # fmt: skip
def test_masks_are_cut_as_the_transform_does(name, settings):
    mask = _files()[name]
    rule = masks.MaskRule(
        settings.get('mode', 'auto'), settings.get('threshold', 127),
        settings.get('ignore_index'),
    )  # fmt: skip
    classes, reason = masks.foreground(mask, rule)
    refused, expected = '', None
    try:
        expected = binarize(mask, **settings)
    except ValueError as error:
        refused = str(error)
    assert bool(refused) <= bool(reason)
    assert reason[:40] in refused or not refused
    if not refused:
        assert classes.dtype == np.uint8
        assert np.array_equal(classes, expected)


def test_encodings():
    found = {name: masks.encoding(mask) for name, mask in _files().items()}
    assert found == dict(
        binary='0/255', ones='0/1', noisy='0/255 noisy', labels='labels', colour='labels',
        alpha='0/255', empty='empty', full='0/255',
    )  # fmt: skip
    noise = np.random.default_rng(0).integers(0, 212, (37, 53)).astype(np.uint8)
    assert masks.encoding(noise) == 'grey'


def test_content_of_a_mask():
    classes = np.zeros((10, 20), np.uint8)
    classes[2:6, 3:8] = 1  # 20 pixels
    classes[6, 8] = 1  # touches it at a corner: the same object
    classes[0, 19] = 1
    classes[9] = 255
    content = masks.content(classes, tiny=0.01)
    assert content.share == pytest.approx(22 / 180)
    assert content.border == pytest.approx(1 / 36)  # 56 on the rim, 20 of them ignored
    assert (content.areas, content.objects) == ((21, 1), 1)
    assert (content.tiny, content.specks) == (1, ((1, 19, 0),))
    assert content.kind is None
    assert masks.content(classes, tiny=0.5).objects == 2  # nothing but specks: they count
