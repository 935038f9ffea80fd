from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.visualization.grad_cam import draw_cams, find_module, grad_cam


class Segmentor(nn.Module):
    """Two convolutions; the second gives the logits, of squares: each pixel has its gradient."""

    def __init__(self, channels: int = 1, threshold: float = 0.5) -> None:
        super().__init__()
        self.decode_head = SimpleNamespace(threshold=threshold)
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(inplace=True)
        )
        self.pair = nn.Identity()
        self.unused = nn.Conv2d(3, 4, 1)
        self.logits = nn.Conv2d(4, channels, 1)

    def encode_decode(self, inputs, metas):
        maps = self.features(inputs)
        return self.logits(self.pair((maps, maps))[0] ** 2)


@pytest.mark.parametrize(('channels', 'threshold'), [(1, 0.5), (1, 0.52), (3, None)])
def test_equals_the_formula(channels, threshold):
    pytest.importorskip('captum')
    model = Segmentor(channels, threshold).eval()
    inputs = torch.randn(1, 3, 12, 18)
    with torch.no_grad():  # half of the pixels become foreground
        logits = model.encode_decode(inputs, [])
        edge = logits if channels == 1 else logits[:, 1:].amax(1) - logits[:, 0]
        model.logits.bias[0] += (-1 if channels == 1 else 1) * edge.median()
    cam = grad_cam(model, inputs, [{}], 'features', (1, 2))

    maps = model.features(inputs).detach().requires_grad_()
    logits = model.logits(maps**2)
    if channels == 1:
        chosen, inside = logits, logits.sigmoid() > threshold
        assert threshold == 0.5 or ((logits > 0) != inside).any()
    else:
        chosen, labels = logits.max(1, keepdim=True)
        inside = labels > 0
    assert 0 < inside.sum() < inside.numel()
    chosen[inside].sum().backward()
    weights = maps.grad.mean((2, 3), keepdim=True)  # (1, C, 1, 1)
    expected = (weights * maps).sum(1)[0].relu().detach().numpy()
    assert cam.shape == (6, 9)
    np.testing.assert_allclose(cam, expected / expected.max(), atol=1e-5)


def test_nothing_predicted_is_explained_by_all_pixels():
    pytest.importorskip('captum')
    model = Segmentor().eval()
    with torch.no_grad():
        model.logits.bias.fill_(-100)
        model.logits.weight.fill_(1)
    assert grad_cam(model, torch.randn(1, 3, 12, 18), [{}], 'features').max() == 1


def test_modules_that_cannot_be_explained():
    pytest.importorskip('captum')
    model, inputs = Segmentor().eval(), torch.randn(1, 3, 12, 18)
    for module, message in (('unused', 'not called'), ('pair', 'one map'), ('feature', 'features')):
        with pytest.raises(UserError, match=message):
            grad_cam(model, inputs, [{}], module)
    with pytest.raises(UserError, match='no module'):
        find_module(model, '')


def test_picture_has_a_row_for_each_module_and_a_column_for_each_model():
    image = np.full((20, 30, 3), 100, np.uint8)
    hot, cold = np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)
    drawn = draw_cams(image, [('backbone.a', [hot, cold]), ('b', [cold, hot])], ['A', 'B'], 60)
    assert drawn.shape == (30 + 2 * 44, 132 + 3 * 64, 3)
    x, y = 132 + 30, 34 + 20
    brightness = drawn.astype(int).sum(2)
    assert brightness[y, x + 64] > brightness[y, x + 128]
    assert brightness[y + 44, x + 64] < brightness[y + 44, x + 128]
