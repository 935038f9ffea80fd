# ruff: noqa: D101, D102, D103  (comments say what a class is and the shapes of its maps)
"""ConDSeg in one file: both networks and their losses in plain torch, to read beside the paper.

Lei et al., AAAI 2025, arXiv 2412.08345. Every step is in the order in which the paper draws it,
and none is made faster. Sections and rows are those of method.md, beside this file; a row is
where paper and released code differ. State dicts of ``condseg_r50`` and ``condseg-stage1_r50``
load strictly, and values and gradients are those of the package's modules.

Shapes: N images of H x W pixels; a map is (N, c, h, w). x_i, d_i, f_i are maps of level i = 1..4,
finest first, of h_i x w_i = H / 2^i x W / 2^i pixels. C = channels of the neck (128), m = heads
(4), d = C / m, k = window (3), K = k * k positions in it, L = h * w windows. Images (N, 3, H, W)
are RGB, normalised with ImageNet's mean and std (row c); masks (N, 1, H, W) hold 0, 1, or 255.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn


def resize_to(x, size):  # (N, c, h, w) -> (N, c, *size); x2 where H and W are multiples of 16
    return F.interpolate(x, size, mode='bilinear', align_corners=True)


def conv_bn(c_in, c_out, k, dilation=1, act=True):  # the paper's CBR; without act, conv and BN
    pad = k // 2 * dilation
    block = nn.Sequential()
    block.conv = nn.Conv2d(c_in, c_out, k, padding=pad, dilation=dilation, bias=False)
    block.bn = nn.BatchNorm2d(c_out)
    block.act = nn.ReLU(inplace=True) if act else nn.Identity()
    return block


class Bottleneck(nn.Module):  # of ResNet
    def __init__(self, c_in, c, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c_in, c, 1, bias=False), nn.BatchNorm2d(c)
        self.conv2, self.bn2 = nn.Conv2d(c, c, 3, stride, 1, bias=False), nn.BatchNorm2d(c)
        self.conv3, self.bn3 = nn.Conv2d(c, 4 * c, 1, bias=False), nn.BatchNorm2d(4 * c)
        match = nn.Conv2d(c_in, 4 * c, 1, stride, bias=False), nn.BatchNorm2d(4 * c)
        self.downsample = nn.Sequential(*(match if c_in != 4 * c else ()))

    def forward(self, x):  # (N, c_in, h, w) -> (N, 4c, h / stride, w / stride)
        y = self.bn1(self.conv1(x)).relu_()
        y = self.bn2(self.conv2(y)).relu_()
        y = self.bn3(self.conv3(y))
        return (y + self.downsample(x)).relu_()


class ResNet50(nn.Module):  # section 1: without the last stage, with the stem as finest map
    def __init__(self, c=64):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, c, 7, 2, 3, bias=False), nn.BatchNorm2d(c)

        def stage(c_in, c, blocks, stride):
            more = (Bottleneck(4 * c, c, 1) for _ in range(blocks - 1))
            return nn.Sequential(Bottleneck(c_in, c, stride), *more)

        self.layer1 = stage(c, c, 3, stride=1)
        self.layer2 = stage(4 * c, 2 * c, 4, stride=2)
        self.layer3 = stage(8 * c, 4 * c, 6, stride=2)

    def forward(self, images):  # -> x1..x4 of 64, 256, 512 and 1024 channels
        x1 = self.bn1(self.conv1(images)).relu_()
        x2 = self.layer1(F.max_pool2d(x1, 3, stride=2, padding=1))
        x3 = self.layer2(x2)
        return x1, x2, x3, self.layer3(x3)


class ChannelGate(nn.Module):  # section 2: a weight for each channel (CBAM, equation 2)
    def __init__(self, c):
        super().__init__()
        down = nn.Conv2d(c, max(1, c // 16), 1, bias=False)
        up = nn.Conv2d(max(1, c // 16), c, 1, bias=False)
        self.mlp = nn.Sequential(down, nn.ReLU(), up)

    def forward(self, x):  # (N, c, h, w) -> (N, c, h, w)
        mean, peak = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)  # (N, c, 1, 1)
        return x * torch.sigmoid(self.mlp(mean) + self.mlp(peak))


class SpatialGate(nn.Module):  # section 2: a weight for each pixel (CBAM, equation 3)
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x):  # (N, c, h, w) -> (N, c, h, w)
        pooled = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1)  # (N, 2, h, w)
        return x * torch.sigmoid(self.conv(pooled))


class FeatureEnhancement(nn.Module):  # section 2
    def __init__(self, c_in, c):
        super().__init__()
        convs = [conv_bn(c_in, c, 1), *(conv_bn(c_in, c, 3, dilation=i) for i in (6, 12, 18))]
        self.branches = nn.ModuleList(nn.Sequential(conv, ChannelGate(c)) for conv in convs)
        self.fuse = conv_bn(4 * c, c, 3, act=False)
        self.shortcut = conv_bn(c_in, c, 1, act=False)
        self.gate = SpatialGate()

    def forward(self, x):  # x_i (N, c_i, h_i, w_i) -> d_i (N, C, h_i, w_i)
        wide = torch.cat([branch(x) for branch in self.branches], 1)  # (N, 4C, h_i, w_i)
        return self.gate(torch.relu(self.fuse(wide) + self.shortcut(x)))


def three(branch):  # section 3: SID and its head have three branches of one form
    return nn.ModuleDict({name: branch() for name in ('foreground', 'background', 'uncertainty')})


def sid_branch(c_in, c_mid, c):  # section 3: x4 (N, c_4, h_4, w_4) -> fg, bg or uc (N, C, h_4, w_4)
    return nn.Sequential(conv_bn(c_in, c_mid, 3), conv_bn(c_mid, c, 3), conv_bn(c, c, 1))


class Ascent(nn.Module):  # section 3: an adapter; with seg, a branch of the auxiliary head
    def __init__(self, *widths, seg=False):
        super().__init__()
        self.convs = nn.ModuleList(conv_bn(a, b, 3) for a, b in pairwise(widths))
        self.conv_seg = nn.Conv2d(widths[-1], 1, 1) if seg else nn.Identity()

    def forward(self, x, sizes=None):  # (N, C, h_4, w_4) -> (N, C or 1, *sizes[-1]); default x2
        sizes = sizes or [[2**j * s for s in x.shape[2:]] for j in range(1, len(self.convs))]
        x = self.convs[0](x)
        for conv, size in zip(self.convs[1:], sizes, strict=True):
            x = conv(resize_to(x, size))
        return self.conv_seg(x)


def outlook(values, logits, m, k):  # section 4: values (N, C, h, w), logits (N, m * K * K, h, w)
    n, c, h, w = values.shape
    d, K, L = c // m, k * k, h * w
    A = logits.view(n, m, K, K, L).permute(0, 1, 4, 2, 3)  # (N, m, L, K [a], K [b])
    A = torch.softmax(d**-0.5 * A, dim=-1)
    V = F.unfold(values, k, padding=k // 2)  # (N, C * K, L), 0 outside the image
    V = V.view(n, m, d, K, L).permute(0, 1, 4, 3, 2)  # (N, m, L, K [b], d)
    Y = (A @ V).permute(0, 1, 4, 3, 2).reshape(n, c * K, L)  # of (N, m, L, K [a], d)
    return F.fold(Y, (h, w), k, padding=k // 2)  # (N, C, h, w): windows overlap and add


class CDFA(nn.Module):  # section 4; row h: fg first, as the released code; the paper has bg first
    def __init__(self, c_in, c, m, k):
        super().__init__()
        self.m, self.k = m, k
        self.input_convs = nn.Sequential(conv_bn(c_in, c, 3), conv_bn(c, c, 3))
        self.value, self.proj = nn.Conv2d(c, c, 1), nn.Conv2d(c, c, 1)  # linear layers as 1x1
        self.attn_fg, self.attn_bg = nn.Conv2d(c, m * k**4, 1), nn.Conv2d(c, m * k**4, 1)
        self.output_convs = nn.Sequential(conv_bn(c, c, 3), conv_bn(c, c, 3))

    def forward(self, x, fg, bg):  # (N, C or 2C, h, w), twice (N, C, h, w) -> f_i (N, C, h, w)
        y = self.value(self.input_convs(x))
        y = self.proj(outlook(y, self.attn_fg(fg), self.m, self.k))
        y = self.proj(outlook(y, self.attn_bg(bg), self.m, self.k))  # the same proj
        return self.output_convs(y)


class Neck(nn.Module):  # sections 2 to 4
    def __init__(self, in_channels, c, m, k, c_mid):
        super().__init__()
        self.enhance = nn.ModuleList(FeatureEnhancement(c_in, c) for c_in in in_channels)
        self.sid = three(lambda: sid_branch(in_channels[3], c_mid, c))
        self.adapt_fg = nn.ModuleList(Ascent(*[c] * (5 - i)) for i in range(4))
        self.adapt_bg = nn.ModuleList(Ascent(*[c] * (5 - i)) for i in range(4))
        self.cdfa = nn.ModuleList(CDFA(c_in, c, m, k) for c_in in (2 * c, 2 * c, 2 * c, c))

    def forward(self, maps):  # x1..x4 -> [f1..f4], [fg, bg, uc], all of C channels
        sizes, f = [x.shape[2:] for x in maps], []
        sid = [branch(maps[3]) for branch in self.sid.values()]
        for i in (3, 2, 1, 0):  # level i + 1
            x = self.enhance[i](maps[i])
            if f:
                x = torch.cat((x, resize_to(f[0], sizes[i])), 1)  # (N, 2C, h, w)
            way_up = sizes[i:3][::-1]
            fg, bg = self.adapt_fg[i](sid[0], way_up), self.adapt_bg[i](sid[1], way_up)
            f.insert(0, self.cdfa[i](x, fg, bg))
        return f, sid


class SizeAwareBlock(nn.Module):  # section 5
    def __init__(self, c):
        super().__init__()
        self.merge = conv_bn(2 * c, c, 1)
        self.conv2, self.conv3 = conv_bn(c, c, 3, act=False), conv_bn(c, c, 3, act=False)
        self.conv4 = conv_bn(c, c, 1, act=False)
        self.gates = nn.Sequential(ChannelGate(c), SpatialGate())

    def forward(self, coarse, fine):  # (N, C, h / 2, w / 2), (N, C, h, w) -> (N, C, h, w)
        s1 = self.merge(torch.cat((resize_to(coarse, fine.shape[2:]), fine), 1))
        s2 = torch.relu(self.conv2(s1) + s1)
        s3 = torch.relu(self.conv3(s2) + s2 + s1)
        s4 = torch.relu(self.conv4(s3) + s3 + s2 + s1)
        return self.gates(s4)


class SizeAwareDecoder(nn.Module):  # section 5
    def __init__(self, c, wide, narrow):
        super().__init__()
        self.small, self.middle, self.large = (SizeAwareBlock(c) for _ in range(3))
        self.fuse = conv_bn(3 * c, c, 3)
        self.refine = nn.Sequential(conv_bn(c, wide, 3), conv_bn(wide, narrow, 1))
        self.conv_seg = nn.Conv2d(narrow, 1, 1)

    def forward(self, f1, f2, f3, f4):  # -> logits (N, 1, 2 h_1, 2 w_1)
        h, w = f1.shape[2:]
        maps = self.small(f2, f1), self.middle(f3, f2), self.large(f4, f3)
        x = self.fuse(torch.cat([resize_to(s, (h, w)) for s in maps], 1))
        return self.conv_seg(self.refine(resize_to(x, (2 * h, 2 * w))))


class ConDSeg(nn.Module):  # stage 2; as published, eval mode too computes the maps of all heads
    def __init__(
        self, encoder=None, in_channels=(64, 256, 512, 1024), c=128, m=4, k=3, sid=512,
        head=(128, 64), auxiliary=(256, 256, 128, 64, 64),
    ):  # fmt: skip
        super().__init__()
        self.backbone = encoder or ResNet50()
        self.neck = Neck(in_channels, c, m, k, sid)
        self.decode_head = SizeAwareDecoder(c, *head)
        self.auxiliary_head = three(lambda: Ascent(c, *auxiliary, seg=True))

    def forward(self, images):  # -> logits of the mask, of fg, bg and uc, each (N, 1, H, W)
        f, sid = self.neck(self.backbone(images))
        branches = zip(self.auxiliary_head.values(), sid, strict=True)
        return self.decode_head(*f), *(branch(x) for branch, x in branches)


class FusionHead(nn.Module):  # section 6, stage 1
    def __init__(self, in_channels, c=64):
        super().__init__()
        self.levels = nn.ModuleList(conv_bn(c_in, c, 1) for c_in in in_channels)
        self.conv_seg = nn.Conv2d(len(in_channels) * c, 1, 1, bias=False)

    def forward(self, maps):  # x1..x4 -> logits (N, 1, 2 h_1, 2 w_1)
        size = [2 * s for s in maps[0].shape[2:]]
        full = [level(resize_to(x, size)) for level, x in zip(self.levels, maps, strict=True)]
        return self.conv_seg(torch.cat(full, 1))


def stage1(encoder=None, in_channels=(64, 256, 512, 1024)):  # a view (N, 3, H, W) -> its logits
    net = nn.Sequential()
    net.backbone = encoder or ResNet50()  # stage 2 starts from it, BN's statistics included (row d)
    net.decode_head = FusionHead(in_channels)
    return net


def bce(z, y, v):  # logits z, targets y, v = 1 where a pixel counts (section 8): (N, 1, H, W) each
    losses = F.binary_cross_entropy_with_logits(z, y, reduction='none')
    return (losses * v).sum() / v.sum().clamp(min=1)


def bce_dice(z, y, v):  # section 6; row a: one sigmoid, where the released code has two
    p = z.sigmoid()
    return bce(z, y, v) + 1 - (2 * (p * y * v).sum() + 1) / (((p + y) * v).sum() + 1)


def beta(p, v):  # section 6; row f: sum of the shares as released, but a constant of at most 10
    share = (p * v).sum((1, 2, 3)) / v.sum((1, 2, 3)).clamp(min=1)  # (N,)
    return 1 / share.sum().clamp(min=math.atanh(1 / 10)).tanh().detach()


def stage1_losses(z1, z2, mask):  # logits of an image and of its strong view; L1 is their sum
    z1, z2 = resize_to(z1, mask.shape[2:]), resize_to(z2, mask.shape[2:])
    y, v = (mask == 1).to(z1), (mask != 255).to(z1)
    m1, m2 = (z1 > 0).to(z1), (z2 > 0).to(z2)  # probability > 0.5
    consistency = (bce(z1, m2, v) + bce(z2, m1, v)) / 2  # row g: the released code has no 1/2
    return {'clean': bce_dice(z1, y, v), 'strong': bce_dice(z2, y, v), 'consistency': consistency}


def stage2_losses(logits, mask):  # of what ConDSeg returns; L2 is their sum
    z, fg, bg, uc = (resize_to(x, mask.shape[2:]) for x in logits)
    y, v = (mask == 1).to(z), (mask != 255).to(z)
    FG, BG, UC = fg.sigmoid(), bg.sigmoid(), uc.sigmoid()
    comp = FG * BG + FG * UC + BG * UC  # row e: the released code has a softmax over the three
    return {
        'mask': bce_dice(z, y, v),
        'fg': beta(FG, v) * bce_dice(fg, y, v),
        'bg': beta(BG, v) * bce_dice(bg, 1 - y, v),  # row b: 1 - y, after the augmentation of y
        'comp': (comp * v).sum() / v.sum().clamp(min=1),
    }
