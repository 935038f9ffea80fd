"""Predictions of an image against mmseg's own, on real architectures with random weights."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmseg.apis import MMSegInferencer
from mmseg.registry import MODELS
from small_models import CONFIG, PLAIN, build, picture, write_pictures

from condseg_mmseg.apis import _predictor
from condseg_mmseg.apis._predictor import Predictor
from condseg_mmseg.apis.predict import load_predictor, predict, predict_files
from condseg_mmseg.evaluation.uncertainty import uncertainty
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.visualization.contact_sheet import sid_in_eval
from condseg_mmseg.visualization.prediction_files import read_labels

SEVERAL = PLAIN.replace('num_classes=2, out_channels=1, threshold=0.5', 'num_classes=5').replace(
    'use_sigmoid=True', 'use_sigmoid=False'
)


def config_of(kind: str, folder: Path) -> Path:
    """ConDSeg; one channel without SID; five classes."""
    if kind == 'condseg':
        return CONFIG
    path = folder / f'{kind}.py'
    path.write_text(PLAIN if kind == 'plain' else SEVERAL)
    return path


@pytest.fixture(scope='module', params=['condseg', 'plain', 'several'])
def any_model(request, tmp_path_factory):
    """Config and checkpoint of a model."""
    folder = tmp_path_factory.mktemp(request.param)
    config = config_of(request.param, folder)
    build(config, folder / 'model.pth')
    return config, folder / 'model.pth'


def test_equals_the_inferencer(any_model, tmp_path):
    config, checkpoint = any_model
    folder = write_pictures(tmp_path / 'in')
    inferencer = MMSegInferencer(str(config), str(checkpoint), device='cpu')
    predictor = load_predictor(config=config, checkpoint=checkpoint, device='cpu')
    predict_files(folder, tmp_path / 'out', predictor, workers=0, batch_size=2)
    labels = set()
    for path in sorted(folder.rglob('*.png')):
        sample = inferencer(str(path), return_datasamples=True)
        expected = sample.pred_sem_seg.data[0].numpy()
        found = predict(predictor, path)
        np.testing.assert_array_equal(found.mask, expected)
        logits = sample.seg_logits.data
        if len(logits) == 1:  # mmseg stores probabilities
            np.testing.assert_array_equal(found.probability, logits[0].numpy())
        else:
            np.testing.assert_array_equal(found.probability, logits.softmax(0).amax(0).numpy())
        assert predict(predictor, cv2.imread(str(path))).mask.tolist() == found.mask.tolist()
        mask = tmp_path / 'out' / 'masks' / path.relative_to(folder)
        np.testing.assert_array_equal(read_labels(mask, len(logits) == 1), expected)
        labels |= set(np.unique(expected))
    assert len(labels) > 1


@pytest.mark.parametrize('kind', ['plain', 'several'])
def test_strips_change_nothing(kind, tmp_path, monkeypatch):
    config = config_of(kind, tmp_path)
    build(config, tmp_path / 'model.pth')
    predictor = load_predictor(
        config=config, checkpoint=tmp_path / 'model.pth', device='cpu', uncertainty='entropy'
    )
    whole = predict(predictor, picture((301, 203)))
    monkeypatch.setattr(_predictor, 'AT_ONCE', 7 * predictor.channels * 203)
    strips = predict(predictor, picture((301, 203)))
    assert len(list(_predictor._strips((301, 203), predictor.channels))) == 43
    for key in ('probability', 'uncertainty'):
        np.testing.assert_allclose(getattr(strips, key), getattr(whole, key), atol=2e-5)
    assert (strips.mask != whole.mask).mean() < 1e-4


def test_checkpoints_are_averaged(condseg, predictor):
    files = [condseg / 'model.pth', condseg / 'other.pth']
    both = load_predictor(config=CONFIG, checkpoint=files, device='cpu')
    image = picture((61, 83))
    second = load_predictor(config=CONFIG, checkpoint=files[1], device='cpu')
    one, two = (predict(model, image).probability for model in (predictor, second))
    assert abs(one - two).max() > 1e-4
    mean = predict(both, image)
    np.testing.assert_allclose(mean.probability, (one + two) / 2, atol=1e-7)
    np.testing.assert_array_equal(mean.mask, mean.probability > 0.5)


@pytest.mark.parametrize('kind', ['condseg', 'several'])
def test_tta_is_that_of_mmseg(kind, tmp_path):
    config = config_of(kind, tmp_path)
    model = build(config, tmp_path / 'model.pth')
    cfg = Config.fromfile(config)
    predictor = load_predictor(
        config=config, checkpoint=tmp_path / 'model.pth', device='cpu', tta=True
    )
    image = picture((61, 83))
    cv2.imwrite(str(tmp_path / 'x.png'), image)
    tta = MODELS.build(dict(cfg.tta_model, module=model)).eval()
    data = Compose(cfg.tta_pipeline)(dict(img_path=str(tmp_path / 'x.png')))
    with torch.no_grad():
        expected = tta.test_step(pseudo_collate([data]))[0]
    found = predict(predictor, image)
    np.testing.assert_array_equal(found.mask, expected.pred_sem_seg.data[0].numpy())
    plain = load_predictor(config=config, checkpoint=tmp_path / 'model.pth', device='cpu')
    assert abs(predict(plain, image).probability - found.probability).max() > 1e-4


def test_a_window_slides_over_the_image_at_its_own_size(condseg, predictor):
    sliding = load_predictor(
        config=CONFIG, checkpoint=condseg / 'model.pth', device='cpu', slide=(64, 48)
    )
    image = picture((61, 83))
    view = sliding.read(image)[0]
    assert view.inputs.shape == (3, 61, 83)
    model = predictor.model
    with torch.no_grad():
        inputs = sliding.batch(model, [view])['inputs']
        parts = [model.inference(inputs[..., a:b], [view.meta | dict(
            img_shape=torch.Size((61, 64)))]) for a, b in ((0, 64), (19, 83))]  # fmt: skip
    total, count = torch.zeros(61, 83), torch.zeros(61, 83)
    for logits, (a, b) in zip(parts, ((0, 64), (19, 83)), strict=True):
        total[:, a:b] += logits[0, 0]
        count[:, a:b] += 1
    expected = (total / count).sigmoid().numpy()
    np.testing.assert_allclose(predict(sliding, image).probability, expected, atol=1e-6)


def test_rgb_and_wrong_arrays(predictor):
    image = picture((61, 83))
    bgr = predict(predictor, image)
    rgb = predict(predictor, image[..., ::-1], channel_order='rgb')
    np.testing.assert_array_equal(bgr.probability, rgb.probability)
    assert abs(predict(predictor, image[..., ::-1]).probability - bgr.probability).max() > 0
    for wrong in (image[..., 0], image.astype(float), image[:0]):
        with pytest.raises(UserError, match=r'uint8 of shape \(H, W, 3\)'):
            predict(predictor, wrong)
    with pytest.raises(UserError, match='bgr'):
        predict(predictor, image, channel_order='grb')
    assert predict(predictor.model, image).mask.tolist() == bgr.mask.tolist()


def test_uncertainty(condseg, predictor):
    image = picture((61, 83))
    checkpoint = condseg / 'model.pth'
    p = torch.from_numpy(predict(predictor, image).probability)[None]
    options = dict(config=CONFIG, checkpoint=checkpoint, device='cpu')
    entropy = predict(load_predictor(**options, uncertainty='entropy'), image).uncertainty
    np.testing.assert_allclose(entropy, uncertainty('entropy', p).numpy(), atol=1e-6)
    sid = predict(load_predictor(**options, uncertainty='sid'), image).uncertainty
    model = predictor.model
    inputs = predictor.batch(model, predictor.read(image))['inputs']
    with torch.no_grad(), sid_in_eval(model):
        maps = model.auxiliary_head(model.extract_feat(inputs))
    # at the size of the input first, as the sheets show them
    fg, bg = (
        F.interpolate(x, inputs.shape[2:], mode='bilinear', align_corners=True) for x in maps[:2]
    )
    small = uncertainty('sid', fg.sigmoid()[0, 0], bg.sigmoid()[0, 0]).numpy()
    np.testing.assert_allclose(sid, cv2.resize(small, (83, 61)), atol=1e-5)
    assert np.ptp(sid) > 0.1
    with pytest.raises(UserError, match='does not work with --tta or --slide'):
        load_predictor(**options, uncertainty='sid', tta=True)


def test_training_only_weights_may_be_absent(condseg, tmp_path):
    state = torch.load(condseg / 'model.pth')['state_dict']
    kept = {k: v for k, v in state.items() if not k.startswith('auxiliary_head.')}
    torch.save(kept, tmp_path / 'kept.pth')
    options = dict(config=CONFIG, checkpoint=tmp_path / 'kept.pth', device='cpu')
    assert predict(load_predictor(**options), picture((61, 83))).mask.shape == (61, 83)
    with pytest.raises(UserError, match='does not fit'):  # SID's maps are of that head
        load_predictor(**options, uncertainty='sid')
    kept.pop(next(k for k in kept if k.startswith('decode_head.')))
    torch.save(kept, tmp_path / 'kept.pth')
    with pytest.raises(UserError, match='does not fit'):
        load_predictor(**options)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(config=CONFIG), '--config with --checkpoint'),
        (dict(model='x', config=CONFIG, checkpoint='y'), '--config with --checkpoint'),
        (dict(checkpoint='y'), '--config with --checkpoint'),
        (dict(cfg_options=dict(a=1)), 'needs --config'),
        (dict(config=CONFIG, checkpoint='absent.pth'), 'absent.pth'),
    ],
)
def test_wrong_models(options, message):
    with pytest.raises(UserError, match=message):
        load_predictor(**options, device='cpu')


def test_batches_hold_images_of_one_size(predictor):
    class Item:
        def __init__(self, *shape):
            self.views = [type('View', (), dict(inputs=np.zeros(shape)))]

    items = [Item(3, 8, 8), Item(3, 8, 8), Item(3, 8, 8), Item(3, 8, 9), Item(3, 8, 8)]
    assert [len(batch) for batch in predictor.batches(items, 2)] == [2, 1, 1, 1]
    assert [len(batch) for batch in predictor.batches(items)] == [3, 1, 1]


def test_a_batch_is_small_where_there_are_many_classes(predictor, monkeypatch):
    class Item:
        views = [type('View', (), dict(inputs=np.empty((3, 512, 683), np.uint8)))]

    monkeypatch.setattr(predictor, 'channels', 19)  # 6.6 million logits an image
    assert [len(batch) for batch in predictor.batches([Item()] * 2)] == [1, 1]
    monkeypatch.setattr(predictor, 'channels', 1)
    assert [len(batch) for batch in predictor.batches([Item()] * 7)] == [5, 2]


def test_a_head_of_several_classes_needs_no_threshold(any_model):
    config, checkpoint = any_model
    model = load_predictor(config=config, checkpoint=checkpoint, device='cpu').model
    if model.out_channels > 1:
        del model.decode_head.threshold
        assert Predictor([model]).channels > 1
    else:
        assert Predictor([model]).threshold == 0.5


@pytest.mark.parametrize(
    ('side', 'batches'), [(512, [8, 2]), (513, [7, 3]), (1024, [2, 2, 2, 2, 2]), (4096, [1] * 10)]
)
def test_a_batch_is_small_where_images_are_large(predictor, side, batches):
    class Item:
        views = [type('View', (), dict(inputs=np.empty((3, side, side), np.uint8)))]

    assert [len(batch) for batch in predictor.batches([Item()] * 10)] == batches
