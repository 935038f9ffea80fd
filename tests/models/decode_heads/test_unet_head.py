"""U-Net and U-Net++ by hand and by the formula of the paper."""

import pytest
import torch

from condseg_mmseg.models import UNetHead


def fill(module, value):
    """One weight at the centre of each kernel, no bias."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        for conv in module.modules():
            if isinstance(conv, torch.nn.Conv2d):
                conv.weight[..., conv.kernel_size[0] // 2, conv.kernel_size[1] // 2] = value
            elif isinstance(conv, torch.nn.ConvTranspose2d):
                conv.weight.fill_(value)


def maps(*values):
    """Maps of 1, 1/2, 1/4 of 8 x 8 pixels, each with one channel of one value."""
    return [torch.full((1, 1, 8 >> i, 8 >> i), float(v)) for i, v in enumerate(values)]


def linear(**options):
    """All weights 1; widths 1, 2, ...; without norm and activation."""
    head = UNetHead(
        options.pop('in_channels', (1, 1, 1)), 1, norm_cfg=None, act_cfg=None, **options
    )
    fill(head, 1.0)
    return head


def test_unet_by_hand():
    # (2,1): up of 5 -> 2 channels of 5, with the skip 3 -> 13 in 2 channels, their sum 26 in each
    # (1,2): up of both channels 52, with the skip 2 -> 54, again 54; full size: twice the same
    logits = linear()(maps(2, 3, 5))
    assert logits.shape == (1, 1, 16, 16)
    assert (logits == 54).all()


def test_unet_plus_plus_by_hand():
    # (1,1): 2 + up of 3 = 5; (2,1): 26 twice as above; (1,2): 2 + 5 + 52
    head = linear(nested=True, deep_supervision=True)
    side, logits = head.all_logits(maps(2, 3, 5))
    assert (side == 5).all()
    assert (logits == 59).all()


def test_the_up_convolution_keeps_pixels_apart():
    head = linear(in_channels=(1, 1), final_upsample=1)
    coarse = torch.arange(16.0).reshape(1, 1, 4, 4)
    logits = head([torch.zeros(1, 1, 8, 8), coarse])
    torch.testing.assert_close(logits, coarse.repeat_interleave(2, -1).repeat_interleave(2, -2))
    odd = head([torch.zeros(1, 1, 7, 7), coarse])  # resized, not cropped
    assert odd.shape == (1, 1, 7, 7)
    assert (odd[0, 0, 0, 0], odd[0, 0, -1, -1]) == (0, 15)


@pytest.mark.parametrize('nested', [False, True])
def test_widths_double_and_nodes_read_what_the_paper_says(nested):
    head = UNetHead((7, 11, 13, 17, 19), 4, nested=nested)
    expected = {}
    for i in range(4):
        for j in range(1, 5 - i) if nested else [4 - i]:
            below = (7, 11, 13, 17, 19)[i + 1] if j == 1 else 4 * 2 ** (i + 1)
            skips = (7, 11, 13, 17, 19)[i] + (4 * 2**i * (j - 1) if nested else 0)
            expected[f'{i}_{j}'] = below, 4 * 2**i + skips, 4 * 2**i
    found = {
        name: (node.up.in_channels, node.convs[0].in_channels, node.convs[1].out_channels)
        for name, node in head.nodes.items()
    }
    assert found == expected
    assert len(found) == (10 if nested else 4)


def test_more_classes():
    head = UNetHead((3, 4), 4, num_classes=3, nested=True, deep_supervision=True)
    assert head([torch.randn(2, 3, 8, 8), torch.randn(2, 4, 4, 4)]).shape == (2, 3, 16, 16)


def test_deep_supervision_is_that_of_the_nested_one():
    with pytest.raises(ValueError, match='deep_supervision=True needs nested=True'):
        UNetHead(deep_supervision=True)
