"""The data doctor: how masks are cut, and what one holds."""

import cv2
import numpy as np
import pytest
from helpers import blob

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


_MISFITS = {
    ('ones', 'threshold'): 'its highest value is 1, so no pixel is foreground at threshold 127',
    ('noisy', 'nonzero'): 'like a JPEG or a soft mask',
    ('labels', 'auto'): 'neither a mask of 0 and 1 nor one of 0 and 255: its highest value is 3',
    ('labels', 'threshold'): 'its highest value is 3',
    ('colour', 'auto'): 'neither a mask of 0 and 1 nor one of 0 and 255: its highest value is 60',
    ('colour', 'threshold'): 'its highest value is 60',
}


@pytest.mark.parametrize('mode', ['auto', 'threshold', 'nonzero'])
@pytest.mark.parametrize('name', _files())
def test_masks_are_cut_and_what_does_not_fit_has_a_reason(name, mode):
    mask = _files()[name]
    classes, reason = masks.foreground(mask, masks.MaskRule(mode))
    misfit = _MISFITS.get((name, mode), '')
    assert misfit in reason
    assert bool(misfit) == bool(reason)
    if name in ('empty', 'full'):
        expected = np.full((37, 53), name == 'full')
    elif (name, mode) == ('noisy', 'nonzero'):
        expected = mask.max(2) > 0
    else:  # what does not fit is cut at 127
        expected = (blob() > 0) & (not misfit)
    assert classes.dtype == np.uint8
    assert np.array_equal(classes, expected)


def test_ignored_values_are_no_foreground_and_need_not_fit():
    mask = blob()
    mask[:, :6] = 3
    assert 'are exactly 3, like a label' in masks.foreground(mask, masks.MaskRule('threshold'))[1]
    classes, reason = masks.foreground(mask, masks.MaskRule('threshold', ignore_index=3))
    assert reason == ''
    expected = (blob() > 0).astype(np.uint8)
    expected[:, :6] = 255
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
