"""The published functions and the aggregation on a GPU. CONDSEG_MMSEG_DEVICE=cpu tries these tests.

They need float32 as it is: with NVIDIA_TF32_OVERRIDE=0 no library takes TF32 for it.
"""

import os

import pytest
import torch
from helpers import ROOT, assert_close, fill, fixture, reference_state
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from condseg_mmseg.apis.convert import convert_state
from condseg_mmseg.ops import outlook_aggregate

DEVICE = os.environ.get('CONDSEG_MMSEG_DEVICE', 'cuda')
pytestmark = pytest.mark.skipif(
    DEVICE == 'cuda' and not torch.cuda.is_available(), reason='needs CUDA'
)
STAGES = {'stage1': 'condseg-stage1_r50_1xb8', 'condseg': 'condseg_r50_official_1xb12'}


def build(stage):
    """The network with the reference weights."""
    config = ROOT / 'configs' / 'condseg' / f'{STAGES[stage]}-300e_kvasir-seg-256x256.py'
    model = MODELS.build(Config.fromfile(config).model)
    published = reference_state(f'{stage}_r50.keys.json', 0)
    model.load_state_dict(convert_state(published, model.state_dict()), strict=True)
    return model.to(DEVICE)


def image_of(data):
    return torch.from_numpy(fill.image(int(data['image_seed']), tuple(data['shape']))).to(DEVICE)


@pytest.mark.parametrize(
    ('stage', 'name', 'key'),
    [('condseg', 'eval_a', 'logits.mask'), ('condseg', 'eval_b', 'logits.mask'),
     ('stage1', 'eval', 'logits')],
)  # fmt: skip
def test_logits_equal_the_published_ones(stage, name, key):
    data = fixture(f'{stage}_r50.{name}.npz')
    with torch.no_grad():
        logits = build(stage).eval()(image_of(data), mode='tensor')
    assert_close(logits.cpu(), data[key], 1e-4, key)


def test_the_loss_equals_the_published_one():
    data = fixture('condseg_r50.train_single_sigmoid.npz')
    model = build('condseg').train()
    for head in (model.decode_head.loss_decode, model.auxiliary_head.loss_decode):
        head.double_sigmoid = False
    model.auxiliary_head.background_target = 'complement'  # as the fixtures were made
    image = image_of(data)
    shape = image.shape
    mask = torch.from_numpy(fill.mask(int(data['mask_seed']), (shape[0], 1, *shape[2:])))
    samples = [
        SegDataSample(gt_sem_seg=PixelData(data=m.long()), metainfo={'img_shape': shape[2:]})
        for m in mask.to(DEVICE)
    ]
    losses = model(image, samples, mode='loss')
    total = sum(value for key, value in losses.items() if 'loss' in key)
    assert float(total) == pytest.approx(float(data['loss.total']), rel=1e-4)


# N, C, H, W, heads, k
@pytest.mark.parametrize('case', [(2, 8, 5, 7, 2, 3), (1, 4, 11, 2, 2, 5), (2, 128, 64, 64, 4, 3)])
@pytest.mark.parametrize('backend', ['reference', 'fast', 'auto'])
def test_the_aggregation_equals_that_of_the_cpu(backend, case):
    n, c, h, w, heads, k = case
    g = torch.Generator().manual_seed(0)
    shapes = (n, c, h, w), (n, heads * k**4, h, w), (n, c, h, w)
    tensors = [torch.randn(shape, generator=g, dtype=torch.float64) for shape in shapes]

    def both(name, device, dtype):
        values, logits, upstream = (x.to(device, dtype) for x in tensors)
        leaves = values.requires_grad_(), logits.requires_grad_()
        result = outlook_aggregate(*leaves, heads, k, backend=name)
        return [result, *torch.autograd.grad(result, leaves, upstream)]

    expected, actual = both('reference', 'cpu', torch.float64), both(backend, DEVICE, torch.float32)
    for name, theirs, ours in zip(('result', 'values', 'logits'), expected, actual, strict=True):
        assert_close(ours.cpu(), theirs.detach().numpy(), 2e-6, name)
