"""The diagrams of the parts of stage 2: enhancement, SID, CDFA, its aggregation, decoder."""

from itertools import pairwise

from picture import GUIDE, MAP, OUT, TRAIN, UP, Picture


def enhancement() -> Picture:
    """Feature enhancement."""
    p = Picture(1000, 340)
    x = p.box(60, 150, 'x_i\nc_i, h × w', 90, fill=MAP)
    cat = p.box(490, 132, 'concat\n4C', 64, 200)
    for j, name in enumerate(
        ('1×1 CBR', '3×3 CBR, dilation 6', '3×3 CBR, dilation 12', '3×3 CBR, dilation 18')
    ):
        y = 48 + 56 * j
        conv = p.box(222, y, name, 168)
        gate = p.box(385, y, 'channel gate', 112)
        p.line(x.right, (122, 150), (122, y), conv.left)
        p.line(conv.right, gate.left)
        p.line(gate.right, (cat.x - 32, y))
    fuse = p.box(595, 132, '3×3 conv-BN\n→ C', 100)
    total = p.plus(690, 132)
    relu = p.box(755, 132, 'ReLU', 64)
    gate = p.box(850, 132, 'spatial\ngate', 74)
    d = p.box(945, 132, 'd_i\nC, h × w', 82, fill=OUT)
    for a, b in ((cat, fuse), (fuse, total), (total, relu), (relu, gate), (gate, d)):
        p.line(a.right, b.left)
    short = p.box(222, 290, '1×1 conv-BN → C', 168)
    p.line((122, 150), (122, 290), short.left)
    p.line(short.right, (690, 290), total.bottom)
    p.text(460, 278, 'shortcut')
    return p


def sid() -> Picture:
    """SID, adapters, auxiliary head."""
    p = Picture(1040, 400)
    x = p.box(64, 200, 'x4: 1024,\nH/16 × W/16', 104, fill=MAP)
    for j, name in enumerate(('fg', 'bg', 'uc')):
        y = 80 + 120 * j
        first = p.box(197, y, '3×3 CBR\n→ 512', 80)
        second = p.box(300, y, '3×3 CBR\n→ C', 80)
        third = p.box(403, y, '1×1 CBR\n→ C', 80)
        out = p.box(515, y, f'{name}: C,\nH/16 × W/16', 104, fill=MAP)
        p.line(x.right, (136, 200), (136, y), first.left)
        for a, b in ((first, second), (second, third), (third, out)):
            p.line(a.right, b.left)
        low = y + 28 if name != 'uc' else y
        aux = p.box(
            765,
            low,
            '3×3 CBR, then four times\n[×2, 3×3 CBR], 1×1 conv',
            220,
            colour=TRAIN,
            dashed=True,
        )
        logits = p.box(960, low, f'{name.upper()}: 1,\nH × W', 90, fill=OUT)
        p.line(out.right, (600, y), (600, low), aux.left, colour=TRAIN, dashed=True)
        p.line(aux.right, logits.left, colour=TRAIN, dashed=True)
        if name != 'uc':
            up = p.box(
                765, y - 28, 'adapter i: 3×3 CBR,\n(4 - i) times [×2, 3×3 CBR]', 220, colour=GUIDE
            )
            p.line(out.right, (600, y), (600, y - 28), up.left, colour=GUIDE)
            level = p.box(960, y - 28, f'{name}_i: C,\nh_i × w_i', 90, fill=MAP)
            p.line(up.right, level.left, colour=GUIDE)
    p.text(
        655,
        385,
        'dashed: auxiliary head, training only; widths 256, 256, 128, 64, 64',
        colour=TRAIN,
    )
    p.text(260, 385, 'adapters: one for each level', colour=GUIDE)
    return p


def cdfa() -> Picture:
    """One CDFA block."""
    p = Picture(1040, 330)
    y = 150
    d = p.box(60, y - 35, 'd_i: C,\nh × w', 84, fill=MAP)
    f = p.box(60, y + 35, 'f_(i+1): C,\nh/2 × w/2', 100, fill=MAP)
    cat = p.box(172, y, 'concat\n2C', 64, 110)
    p.line(d.right, (140, d.y))
    p.line(f.right, (140, f.y))
    p.text(125, f.y - 11, UP)
    convs = p.box(268, y, 'two 3×3\nCBR → C', 80)
    value = p.box(356, y, 'v: C → C', 68)
    one = p.box(465, y, 'outlook\naggregation', 96, 60)
    proj = p.box(567, y, 'proj\nC → C', 60)
    two = p.box(675, y, 'outlook\naggregation', 96, 60)
    again = p.box(777, y, 'proj\n(the same)', 80)
    last = p.box(880, y, 'two 3×3\nCBR → C', 80)
    out = p.box(983, y, 'f_i: C,\nh × w', 80, fill=OUT)
    chain = (cat, convs, value, one, proj, two, again, last, out)
    for a, b in pairwise(chain):
        p.line(a.right, b.left)
    for name, target in (('fg', one), ('bg', two)):
        weights = p.box(target.x, 56, f'attn_{name}: C → m K²\nsoftmax over b', 158, colour=GUIDE)
        p.line(weights.bottom, target.top, colour=GUIDE)
        p.text(target.x + 6, 98, f'A_{name}', 'start', colour=GUIDE)
        guide = p.box(
            target.x - 140 if name == 'fg' else target.x + 140,
            56,
            f'{name}_i: C,\nh × w',
            76,
            fill=MAP,
        )
        if name == 'fg':
            p.line(guide.right, weights.left, colour=GUIDE)
        else:
            p.line(guide.left, weights.right, colour=GUIDE)
    p.text(
        520, 240, 'y0 = v(two CBR(x)),  y1 = proj(outlook(y0, A_fg)),  y2 = proj(outlook(y1, A_bg))'
    )
    p.text(520, 266, 'A: K × K weights for each of m heads and each window centre, K = k²')
    p.text(520, 292, 'level 4 has no f_(i+1): its input is d4 alone')
    return p


def outlook() -> Picture:
    """Outlook aggregation, and the same sum regrouped."""
    p = Picture(1040, 560)
    near, centre, far = '#cfe0f4', '#5b8fd0', '#f6d9bd'
    p.text(
        20,
        24,
        'As published: each window mixes its values, and overlapping results are added',
        'start',
        15,
        bold=True,
    )
    window = {(i, j): near for i in range(2, 5) for j in range(2, 5)}
    p.grid(40, 60, 7, 20, window | {(3, 3): centre})
    p.text(110, 218, 'values y; the window\nof centre q, k = 3')
    p.line((200, 130), (262, 130))
    p.text(231, 112, 'unfold')
    p.grid(280, 100, 3, 20, {(i, j): near for i in range(3) for j in range(3)})
    p.text(310, 184, 'y[q + o_b]\nK values')
    p.line((350, 130), (412, 130))
    p.text(381, 112, 'A[q] ·')
    p.grid(430, 85, 9, 10, {(4, j): far for j in range(9)})
    p.text(475, 200, 'A[q, a, b], K × K;\nrow a gives result a')
    p.line((530, 130), (592, 130))
    p.grid(610, 100, 3, 20, {(i, j): far for i in range(3) for j in range(3)})
    p.text(640, 184, 'K results\nfor q + o_a')
    p.line((690, 130), (752, 130))
    p.text(721, 112, 'fold')
    result = {(i, j): far for i in range(2, 5) for j in range(2, 5)}
    p.grid(780, 60, 7, 20, result)
    p.text(850, 218, 'out, added at all\npositions of the window')
    p.line((20, 262), (1020, 262), head=False, colour='#bbbbbb')
    p.text(
        20, 290, 'Regrouped: what reaches one position p, summed by offset', 'start', 15, bold=True
    )
    around = {(i, j): near for i in range(1, 6) for j in range(1, 6)}
    p.grid(40, 325, 7, 20, around | {(3, 3): centre})
    p.text(110, 490, 'p takes from its\n(2k - 1)² = 25 neighbours')
    p.line((195, 395), (245, 395))
    p.text(380, 345, 'W[p, δ] = sum of A[p - o_a, a, b]', size=14)
    p.text(380, 368, 'over pairs (a, b) with o_b - o_a = δ', size=14)
    p.text(380, 422, 'out[p] = sum over δ of', size=14)
    p.text(380, 445, 'W[p, δ] · y[p + δ]', size=14)
    rows = [
        ('', 'as published', 'regrouped'),
        ('multiply-adds a value', 'K² = 81', '(2k - 1)² = 25'),
        ('copies of the values', 'K = 9', 'none'),
        ('copies of the result', 'K = 9', 'none'),
        ('result', 'the same', 'up to rounding'),
    ]
    for i, (name, published, ours) in enumerate(rows):
        y = 340 + 30 * i
        p.text(590, y, name, 'start')
        p.text(800, y, published, bold=i == 0)
        p.text(945, y, ours, bold=i == 0)
    note = 'for one head; o_a, o_b: the K offsets in a window; outside the image y is 0'
    p.text(20, 540, note, 'start', 12)
    return p


def decoder() -> Picture:
    """Size-aware decoder, and one of its blocks."""
    p = Picture(1040, 520)
    blocks = []
    f = [
        p.box(64, 44 + 66 * i, f'f{i + 1}: C,\nH/{2 ** (i + 1)} × W/{2 ** (i + 1)}', 104, fill=MAP)
        for i in range(4)
    ]
    for i, name in enumerate(('small', 'middle', 'large')):
        y = 77 + 66 * i
        blocks.append(p.box(240, y, f'block: {name}', 116))
        p.line(f[i].right, (150, f[i].y), (150, y - 8), (182, y - 8))
        p.line(f[i + 1].right, (134, f[i + 1].y), (134, y + 8), (182, y + 8))
    cat = p.box(400, 143, 'concat\n3C', 66, 176)
    for box, up in zip(blocks, ('', UP, '×4'), strict=True):
        p.line(box.right, (367, box.y))
        p.text(332, box.y - 11, up)
    chain = [cat]
    for x, words, w in (
        (490, '3×3 CBR\n→ C', 80), (572, UP, 40), (656, '3×3 CBR\n→ 128', 80),
        (760, '1×1 CBR\n→ 64', 80), (864, '1×1 conv\n→ 1', 80),
    ):  # fmt: skip
        chain.append(p.box(x, 143, words, w))
    chain.append(p.box(973, 143, 'logits: 1,\nH × W', 92, fill=OUT))
    for a, b in pairwise(chain):
        p.line(a.right, b.left)
    p.line((20, 300), (1020, 300), head=False, colour='#bbbbbb')
    p.text(20, 324, 'A block', 'start', 15, bold=True)
    y = 430
    coarse = p.box(70, y + 35, 'coarse: C,\nh/2 × w/2', 96, fill=MAP)
    fine = p.box(70, y - 35, 'fine: C,\nh × w', 96, fill=MAP)
    both = p.box(180, y, 'concat\n2C', 62, 110)
    p.line(coarse.right, (149, coarse.y))
    p.line(fine.right, (149, fine.y))
    p.text(133, coarse.y - 11, UP)
    merge = p.box(270, y, '1×1 CBR', 76)
    p.line(both.right, merge.left)
    before, taps, x = merge, [318], 350
    for kernel in ('3×3', '3×3', '1×1'):
        conv = p.box(x + 35, y, f'{kernel}\nconv-BN', 68)
        total = p.plus(x + 100, y)
        relu = p.box(x + 150, y, 'ReLU', 52)
        p.line(before.right, conv.left)
        p.line(conv.right, total.left)
        p.line(total.right, relu.left)
        for j, tap in enumerate(reversed(taps)):
            rise = y - 44 - 18 * j
            end = (total.x - 6 * j, total.top[1] + (2 if j else 0))
            p.line((tap, y), (tap, rise), (end[0], rise), end)
        before = relu
        taps.append(x + 189)
        x += 200
    for name, tap in zip(('s1', 's2', 's3', 's4'), taps, strict=True):
        p.text(tap, y + 16, name, colour=GUIDE)
    gates = p.box(1000, y, 'gates', 50)
    p.line(before.right, gates.left)
    p.text(1020, y + 44, 'channel, then spatial gate', 'end', 12)
    return p
