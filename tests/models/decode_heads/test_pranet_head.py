"""PraNet's parts by hand, and the size of the released network's."""

import math

import pytest
import torch

from condseg_mmseg.models import PraNetHead
from condseg_mmseg.models.decode_heads.pranet_head import (
    ParallelPartialDecoder,
    ReceptiveFieldBlock,
    ReverseAttention,
)


def ones(module, diagonal=True):
    """Make each convolution the identity on its channels (or the sum of all), without bias."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        for conv in module.modules():
            if isinstance(conv, torch.nn.Conv2d):
                centre = conv.weight[..., conv.kernel_size[0] // 2, conv.kernel_size[1] // 2]
                centre.copy_(torch.eye(*centre.shape) if diagonal else torch.ones(centre.shape))
    return module


def constant(value, size, channels=1):
    return torch.full((1, channels, size, size), float(value))


def test_the_partial_decoder_by_hand():
    decoder = ones(ParallelPartialDecoder(3, 1, 1, norm_cfg=None))
    with torch.no_grad():
        decoder.last[1].weight.copy_(torch.tensor([1.0, 100, 10_000]).view(1, 3, 1, 1))
    out = decoder([constant(5, 8), constant(3, 4), constant(2, 2)])
    # p: 2; 3 * 2 = 6; 5 * 2 * 3 = 30. q: (2); (6, 2); (30, 6, 2)
    torch.testing.assert_close(out, constant(30 + 600 + 20_000, 8))


def test_reverse_attention_by_hand():
    attention = ones(ReverseAttention(2, 2, 2, 3, 3, norm_cfg=None))
    coarse = constant(math.log(3), 2)  # a probability of 3/4 leaves 1/4
    x = torch.cat((constant(8, 4), constant(-100, 4)), 1)  # the last convolution reads channel 0
    torch.testing.assert_close(attention(x, coarse), constant(math.log(3) + 2, 4))
    # where the coarse map is sure of foreground nothing is added; where of background, all
    torch.testing.assert_close(attention(x, constant(50, 4)), constant(50, 4))
    torch.testing.assert_close(attention(x, constant(-50, 4)), constant(-42, 4))


def test_the_receptive_field_block_by_hand():
    block = ones(ReceptiveFieldBlock(1, 1, norm_cfg=None), diagonal=False)
    out = block(constant(3, 9))
    assert (out == 3 * 4 + 3).all()  # four branches and the shortcut
    assert (block(constant(-3, 9)) == 0).all()
    with torch.no_grad():
        for branch in block.branches[1:]:
            for conv in branch:
                conv.conv.weight.fill_(1)
    x = torch.zeros(1, 1, 41, 41)
    x[..., 20, 20] = 1
    reach = block(x)[0, 0, 20].nonzero().flatten()
    assert (reach.min(), reach.max()) == (20 - 10, 20 + 10)  # 7: 3 of 1 x 7 and 7 of the dilation


def test_the_maps_refine_each_other_from_the_coarsest_on():
    head = PraNetHead((2, 3, 4), 4, reverse_channels=(2, 2, 2)).eval()
    sizes = [(9, 7), (5, 4), (3, 2)]
    inputs = [torch.randn(2, c, *s) for c, s in zip((2, 3, 4), sizes, strict=True)]
    coarse, s5, s4, s3 = head.all_logits(inputs)
    assert [tuple(x.shape[-2:]) for x in (coarse, s5, s4, s3)] == [(9, 7), *sizes[::-1]]
    torch.testing.assert_close(s5, head.reverse[2](inputs[2], coarse))
    torch.testing.assert_close(s3, head.reverse[0](inputs[0], s4))


def test_its_size_is_that_of_the_released_network():
    """Counted by hand from the layers of the released code; BatchNorm has two a channel."""

    def conv(c_in, c_out, area):
        return c_in * c_out * area + 2 * c_out

    def rfb(c, w=32):
        branch = [conv(c, w, 1) + 2 * conv(w, w, k) + conv(w, w, 9) for k in (3, 5, 7)]
        return conv(c, w, 1) + sum(branch) + conv(4 * w, w, 9) + conv(c, w, 1)

    partial = 4 * conv(32, 32, 9) + 2 * conv(64, 64, 9) + 2 * conv(96, 96, 9) + 97
    deep = conv(2048, 256, 1) + 3 * conv(256, 256, 25) + conv(256, 1, 1)
    others = sum(conv(c, 64, 1) + 2 * conv(64, 64, 9) + conv(64, 1, 9) for c in (512, 1024))
    expected = rfb(512) + rfb(1024) + rfb(2048) + partial + deep + others
    assert sum(p.numel() for p in PraNetHead().parameters()) == expected


def test_it_separates_one_foreground():
    with pytest.raises(ValueError, match='needs num_classes=2 and out_channels=1'):
        PraNetHead(num_classes=3)
    with pytest.raises(ValueError, match=r'reverse_channels must have one entry .*got \(64,\)'):
        PraNetHead(reverse_channels=(64,))
