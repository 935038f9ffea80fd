"""Draws the diagrams of docs/method.md; standard library only.

python tools/dev/method_diagrams/draw.py [FOLDER]
"""

import sys
from pathlib import Path

from parts import cdfa, decoder, enhancement, outlook, sid
from picture import GUIDE, LOSS, MAP, OUT, TRAIN, UP, Picture


def overview() -> Picture:
    """Both stages."""
    p = Picture(1040, 610)
    p.text(20, 24, 'Stage 1: Consistency Reinforcement', 'start', 15, bold=True)
    x = p.box(90, 78, 'X, Aug(X)\n3, H × W', fill=MAP)
    e = p.box(235, 78, 'encoder', 110)
    head = p.box(385, 78, 'light head', 110)
    m = p.box(535, 78, 'M1, M2\n1, H × W', fill=OUT)
    loss = p.box(760, 78, 'BCE-Dice of each with Y,\nagreement of the two', 220, fill=LOSS)
    for a, b in ((x, e), (e, head), (head, m), (m, loss)):
        p.line(a.right, b.left)
    p.text(265, 140, 'Stage 2: the whole network', 'start', 15, bold=True)
    image = p.box(64, 305, 'X\n3, H × W', 88, fill=MAP)
    encoder = p.box(180, 305, 'encoder', 80, 300)
    p.line(image.right, encoder.left)
    p.line((e.x, e.bottom[1]), (e.x, 116), (180, 116), encoder.top, colour=TRAIN, dashed=True)
    p.text(248, 114, 'its weights start stage 2', 'start', colour=TRAIN)
    maps, cdfa, guide = [], [], 545
    decoder = p.box(830, 280, 'size-aware\ndecoder', 110, 250)
    for i, c in enumerate((64, 256, 512, 1024)):
        y = 180 + 83 * i
        maps.append(
            p.box(292, y, f'x{i + 1}: {c},\nH/{2 ** (i + 1)} × W/{2 ** (i + 1)}', 108, fill=MAP)
        )
        p.line((220, y), maps[i].left)
        d = p.box(435, y, f'enhance → d{i + 1}', 122)
        p.line(maps[i].right, d.left)
        cdfa.append(p.box(665, y, f'CDFA → f{i + 1}', 110))
        p.line(d.right, cdfa[i].left)
    for i in (3, 2, 1):
        p.line(cdfa[i].top, cdfa[i - 1].bottom)
        p.text(672, (cdfa[i].y + cdfa[i - 1].y) / 2, UP, 'start')
    for box in cdfa[:3]:
        p.line(box.right, (775, box.y))
    p.line(cdfa[3].right, (765, cdfa[3].y), (765, 395), (775, 395))
    mask = p.box(960, 280, 'M\n1, H × W', 100, fill=OUT)
    p.line(decoder.right, mask.left)
    sid = p.box(292, 520, 'SID', 108)
    p.line(maps[3].bottom, sid.top)
    three = p.box(435, 520, 'fg, bg, uc: 128,\nH/16 × W/16', 130, fill=MAP)
    p.line(sid.right, three.left)
    head = p.box(665, 520, 'auxiliary head', 122, colour=TRAIN, dashed=True)
    p.line(three.right, head.left, colour=TRAIN, dashed=True)
    logits = p.box(830, 520, 'FG, BG, UC\n1, H × W', 110, fill=OUT)
    p.line(head.right, logits.left, colour=TRAIN, dashed=True)
    p.text(665, 556, 'training only', colour=TRAIN)
    p.line(
        (three.x + 40, 500),
        (three.x + 40, 470),
        (guide, 470),
        (guide, 192),
        colour=GUIDE,
        head=False,
    )
    for box in cdfa:
        p.line((guide, box.y + 12), (box.x - 55, box.y + 12), colour=GUIDE)
    p.text(guide + 8, 475, 'adapters of fg and bg', 'start', colour=GUIDE)
    loss = p.box(960, 420, 'losses\nwith Y', 90, fill=LOSS)
    p.line(mask.bottom, loss.top)
    p.line(logits.right, (960, 520), loss.bottom, colour=TRAIN, dashed=True)
    p.text(20, 590, 'a map: its channels, height × width (ResNet-50)', 'start', 12)
    return p


def stage1() -> Picture:
    """The stage-1 network with its two views."""
    p = Picture(1040, 480)
    x = p.box(70, 120, 'X\n3, H × W', 96, fill=MAP)
    aug = p.box(70, 230, 'strong view', 96, colour=GUIDE)
    view = p.box(70, 330, 'Aug(X)\n3, H × W', 96, fill=MAP)
    p.line(x.bottom, aug.top, colour=GUIDE)
    p.line(aug.bottom, view.top, colour=GUIDE)
    p.box(190, 225, 'encoder', 80, 270)
    p.line(x.right, (150, 120))
    p.line(view.right, (150, 330), colour=GUIDE)
    cat = p.box(670, 225, 'concat\n256', 66, 270)
    for i, c in enumerate((64, 256, 512, 1024)):
        y = 120 + 70 * i
        level = p.box(305, y, f'x{i + 1}: {c},\nH/{2 ** (i + 1)} × W/{2 ** (i + 1)}', 108, fill=MAP)
        up = p.box(427, y, f'×{2 ** (i + 1)}', 60)
        cbr = p.box(540, y, '1×1 CBR\n→ 64', 90)
        p.line((230, y), level.left)
        p.line(level.right, up.left)
        p.line(up.right, cbr.left)
        p.line(cbr.right, (637, y))
    last = p.box(775, 225, '1×1 conv\n→ 1, no bias', 104)
    p.line(cat.right, last.left)
    m1 = p.box(925, 120, 'M1: of X\n1, H × W', 100, fill=OUT)
    m2 = p.box(925, 330, 'M2: of Aug(X)\n1, H × W', 116, fill=OUT)
    p.line((827, 215), (845, 215), (845, 120), m1.left)
    p.line((827, 235), (845, 235), (845, 330), m2.left, colour=GUIDE)
    agree = p.box(945, 225, 'L_cons', 74, fill=LOSS)
    p.line((945, 140), agree.top)
    p.line((945, 310), agree.bottom)
    up = p.box(925, 44, 'BCE-Dice with Y', 140, fill=LOSS)
    down = p.box(925, 410, 'BCE-Dice with Y', 140, fill=LOSS)
    p.line(m1.top, up.bottom)
    p.line(m2.bottom, down.top)
    p.text(480, 44, 'the light head; both views take the same weights, one after the other')
    p.text(
        480,
        440,
        'drawn as published: the package runs each 1×1 convolution before the up-sampling,',
    )
    p.text(480, 460, 'which gives the same values')
    return p


if __name__ == '__main__':
    pictures = Path(__file__).resolve().parents[3] / 'docs' / 'method'
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else pictures
    for draw in (overview, stage1, enhancement, sid, cdfa, outlook, decoder):
        (folder / f'{draw.__name__}.svg').write_text(draw().svg(), encoding='utf-8')
