"""One test for each option of ``condseg check`` and ``prepare`` that changes a result."""

import argparse
import json
import re
from dataclasses import asdict, fields

import cv2
import numpy as np
import pytest
from doctor.samples import Folder, blob, clean
from doctor.samples import write as write_picture
from folders import disc, write
from helpers import ROOT
from scipy.fft import dctn

from condseg_mmseg.cli import main, make_parser
from condseg_mmseg.doctor.sheet import LINE
from condseg_mmseg.preparation import SceneKnobs

# ---------------------------------------------------------------------------------- check


def check(*argv):
    return main(['check', '--workers', '1', *map(str, argv)])


def findings(tmp_path, *argv):
    (tmp_path / 'out.json').unlink(missing_ok=True)
    check(*argv, '--json', tmp_path / 'out.json')
    return json.loads((tmp_path / 'out.json').read_text())


def signs(grey):
    low = dctn(grey.astype(float), norm='ortho')[:8, :8].ravel()
    return low > np.median(low[1:])


def detail(grey):
    grey = grey.astype(np.float32)
    return (grey - cv2.GaussianBlur(grey, (0, 0), 2)).ravel()


@pytest.fixture
def near(tmp_path):
    """Two pictures of 32 x 32 whose signs differ in 10 of 64, and their correlation."""
    draw = np.random.default_rng(0)
    one = cv2.resize(draw.integers(0, 256, (6, 6)).astype(np.uint8), (32, 32))
    for _ in range(2000):
        noise = draw.normal(0, draw.uniform(1, 40), one.shape)
        other = np.clip(one + cv2.GaussianBlur(noise, (0, 0), 1), 0, 255).astype(np.uint8)
        if (signs(one) != signs(other)).sum() == 10:
            break
    else:
        raise AssertionError('no such pair')
    folder = Folder(tmp_path / 'data')
    for name, grey in (('a', one), ('b', other)):
        mask = cv2.resize(blob(), (32, 32), interpolation=cv2.INTER_NEAREST)
        folder.pair(name, np.repeat(grey[..., None], 3, 2), mask)
    folder.list('train', 'a', 'b')
    return folder.root, np.corrcoef(detail(one), detail(other))[0, 1]


def near_kinds(record):
    return [f['kind'] for f in record['findings'] if 'duplicate' in f['kind']]


def test_near_distance(tmp_path, near):
    data, _ = near
    for bits, expected in ((9, 0), (10, 1), (None, 1)):
        options = [] if bits is None else ['--near-distance', bits]
        record = findings(tmp_path, data, '--near-correlation', 0.1, *options)
        assert len(near_kinds(record)) == expected, bits


def test_near_correlation(tmp_path, near):
    data, correlation = near
    for limit, expected in ((correlation + 0.005, 0), (correlation - 0.005, 1)):
        record = findings(tmp_path, data, '--near-correlation', limit)
        assert len(near_kinds(record)) == expected, limit


def test_tiny(tmp_path):
    """An object of 1 pixel of 64 x 48 is a speck from a share of 1 / 3072 on."""
    folder, mask = clean(tmp_path / 'data'), blob()
    mask[40, 3] = 255
    folder.mask('a', mask)
    for share, expected in ((3e-4, 0), (3.5e-4, 1)):
        record = findings(tmp_path, folder.root, '--tiny', share)
        assert sum(image['tiny_objects'] for image in record['images']) == expected


def test_sheet_num(tmp_path):
    folder = clean(tmp_path / 'data')
    for name in 'abc':
        folder.mask(name, blob(0))  # empty
    sheets = {}
    for number in (1, 2, 40):
        out = tmp_path / f'{number}.png'
        check(folder.root, '--sheet', out, '--sheet-num', number)
        sheets[number] = cv2.imread(str(out))
    white = [(sheet[2 * LINE :] == 255).all(axis=(0, 2)) for sheet in sheets.values()]
    last = [np.flatnonzero(~w)[-1] if (~w).any() else 0 for w in white]
    assert last[0] < last[1] < last[2]  # one, two and three cards side by side


@pytest.mark.parametrize(('level', 'status'), [('error', 0), ('warning', 1), ('never', 0)])
def test_fail_on(tmp_path, level, status):
    folder = Folder(tmp_path / 'data')
    folder.pair('a')
    folder.mask('b')  # without an image: a warning
    assert check(folder.root, '--fail-on', level) == status


@pytest.mark.parametrize(('mode', 'share'), [('threshold', 0), ('nonzero', 0.125), ('auto', 0.125)])
def test_mask_mode(tmp_path, mode, share):
    folder = clean(tmp_path / 'data')
    for name in 'abcd':
        folder.mask(name, blob(3))  # a label
    record = findings(tmp_path, folder.root, '--mask-mode', mode)
    assert {image['foreground'] for image in record['images']} == {share}


def test_folders_and_suffixes(tmp_path):
    for i, name in enumerate('xy'):
        write_picture(tmp_path / 'set' / 'in' / f'{name}_img.png', i)
        write_picture(tmp_path / 'set' / 'gt' / f'{name}_m.png', mask=blob()[:37, :53])
    write_picture(tmp_path / 'set' / 'images' / 'z_img.png', 2)
    write_picture(tmp_path / 'set' / 'gt' / 'z_m.png', mask=blob()[:37, :53])
    given = {
        '--img-dir': 'in',
        '--mask-dir': 'gt',
        '--img-suffix': '_img',
        '--seg-map-suffix': '_m',
    }

    def pairs(options):
        record = findings(tmp_path, tmp_path / 'set', *(x for pair in options for x in pair))
        number = sum(split['pairs'] for data in record['data_sets'] for split in data['splits'])
        return number, record['exit_status']

    assert pairs(given.items()) == (2, 1)  # a warning: no image for z_m
    for option in ('--mask-dir', '--img-suffix', '--seg-map-suffix'):
        assert pairs(pair for pair in given.items() if pair[0] != option) == (2, 3), option
    assert pairs({**given, '--img-dir': 'images'}.items()) == (1, 1)


# -------------------------------------------------------------------------------- prepare


def test_all_knobs_of_the_demo(tmp_path):
    """Each at a value that is not its default."""
    other = SceneKnobs(
        size=40, softness=0.2, contrast=1.5, illumination=0.4, highlights=2.0, folds=1.0,
        vessels=3.0, noise=0.02, small_share=0.75, small_radius=(0.05, 0.06),
        large_radius=(0.16, 0.2), small_group=(2, 3), large_group=(3, 4),
    )  # fmt: skip
    argv = ['--num-train', '1', '--num-val', '1', '--num-test', '0', '--seed', '4']
    for knob in fields(other):
        value = getattr(other, knob.name)
        assert value != knob.default
        parts = value if isinstance(value, tuple) else (value,)
        argv += ['--' + knob.name.replace('_', '-'), *map(str, parts)]
    out = tmp_path / 'set'
    assert main(['prepare', 'demo', str(out), *argv]) == 0
    record = json.loads((out / 'dataset.json').read_text())
    assert record['knobs'] == json.loads(json.dumps(asdict(other)))
    assert record['seed'] == 4
    image = out / 'images' / 'train_0000.png'
    before = image.stat().st_mtime_ns
    assert main(['prepare', 'demo', str(out), *argv, '--reuse']) == 0
    assert image.stat().st_mtime_ns == before
    assert main(['prepare', 'demo', str(out), *argv]) == 2


def test_suffix_lists_and_seed_of_custom(tmp_path):
    names = [f'n{i}' for i in range(10)]
    for i, name in enumerate(names):
        write(tmp_path / 'src/images' / f'{name}_x.png', np.full((9, 9, 3), 20 * i))
        write(tmp_path / 'src/masks' / f'{name}.png', 255 * disc((9, 9), 4, 4, 2))
    parts = dict(train=names[:6], val=names[6:7], test=names[7:])
    for part, listed in parts.items():
        (tmp_path / f'{part}.txt').write_text('\n'.join(listed))
    train, val, test = (tmp_path / f'{part}.txt' for part in parts)
    given = ['--train', train, '--val', val, '--test', test]

    def lists(name, *options):
        argv = ['prepare', 'custom', tmp_path / 'src', tmp_path / name, '--image-suffix', '_x']
        assert main([str(x) for x in (*argv, *options)]) == 0
        return {part: (tmp_path / name / f'{part}.txt').read_text().split() for part in parts}

    assert lists('listed', *given) == parts
    zero, also_zero, one = (lists(f'{i}', *o) for i, o in enumerate(
        ((), ('--seed', 0), ('--seed', 1))))  # fmt: skip
    assert zero == also_zero != one
    assert [len(x) for x in lists('split', '--split', 0.5, 0.2, 0.3).values()] == [5, 2, 3]


# ------------------------------------------------------------------------------ all options


def options_of(parser):
    """The long options of a parser and of its sub-commands, as ``command --option``."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from options_of(sub)
        elif action.option_strings and action.dest not in ('help', 'version'):
            yield parser.prog.removeprefix('condseg '), action.option_strings[-1]


def test_every_option_is_given_in_a_test():
    texts = '\n'.join(path.read_text() for path in (ROOT / 'tests').rglob('*.py'))
    found = sorted(set(options_of(make_parser())))
    assert len(found) > 90
    knobs = {'--' + knob.name.replace('_', '-') for knob in fields(SceneKnobs)}  # all, above
    found = [pair for pair in found if pair[1] not in knobs]
    missing = [pair for pair in found if not re.search(rf"['\" ]{pair[1]}['\" =]", texts)]
    assert missing == []
