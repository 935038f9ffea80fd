"""docs/performance.md is what benchmark.py page writes from the files beside it."""

import json

import benchmark
import pytest
from _benchmark import page

from condseg_mmseg.utils.errors import UserError


def times(**seconds):
    return {name: {'min': s, 'median': s, 'max': s} for name, s in seconds.items()}


def make_record():
    """Of ``model`` at two sizes."""

    def row(text, factor):
        return {
            'text': text,
            'baseline': 'ours',
            'seconds': times(**{'ours': 0.2 * factor, 'ours-products': 0.15 * factor}),
            'speed_up': {'ours-products': 1.3},
            'peak_mib': {'ours': 100.0},
            'resident_mib': {'ours': 812.3},
            'memory_saving': {},
            'difference': {'ours-products': {'difference': 2e-6, 'mask IoU': 0.9991}},
        }

    versions = {'python': '3.11.7', 'torch': '2.9', 'mmengine': '1', 'mmcv': '2', 'mmseg': '3'}
    environment = {
        'date': '2026-05-04T03:02:01+00:00', 'versions': versions,
        'commit': 'abc123def456789+changes', 'machine': {'cpu': 'Some Processor', 'threads': 2},
        'native': 'no: no gcc',
    }  # fmt: skip
    return {
        'benchmark': 'model',
        'command': 'python tools/dev/benchmark.py model',
        'settings': {'config': 'configs/condseg/some.py', 'growth': False},
        'environment': environment,
        'variants': ['ours', 'ours-products'],
        'passes': {'64x64': row('small', 1.0), '128x128': row('large', 5.0)},
    }


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / 'performance'
    folder.mkdir()
    (folder / 'a.json').write_text(json.dumps(make_record()))
    (folder / 'page.md.in').write_text(
        '# Page\n\nOf `{config}`,\nnot long.\n\n{{a.json + limits}}\n'
    )
    return folder


def test_the_page_is_current(capsys):
    assert benchmark.main(['page', '--check']) == 0
    assert page.PAGE.read_text(encoding='utf-8') == page.render()
    assert len(list(page.FOLDER.glob('*.json'))) >= 9


def test_numbers_come_from_the_file(folder):
    text = page.render(folder)
    assert text.startswith('# Page\n\nOf `some.py`, not long.\n\n| pass |')
    assert '| small | ours | 200.0 | baseline | 100.0 | - | - | - |' in text
    assert '| small | ours-products | 150.0 | 1.30 | - | - | 2.0e-06 | 0.9991 |' in text
    assert '\n\n    python tools/dev/benchmark.py model\n\n' in text
    flat = ' '.join(text.split())
    assert 'Some Processor, 2 threads, 2026-05-04, Python 3.11.7, torch 2.9' in flat
    said = 'commit abc123def456 with uncommitted changes. Without the aggregation in C: no gcc.'
    assert said in flat
    # of their medians: 150 / 200 and 200 / 150
    assert 'They are 75% of its time; all else costs a factor 1.33.' in flat
    # 5 times the time for 4 times the pixels
    assert 'relative to 64x64: ours 1.25 at 128x128; ours-products 1.25 at 128x128.' in flat
    assert 'at 128x128, libraries and weights included: ours 812 MiB.' in flat
    (folder / 'page.md.in').write_text('{{a.json}}')
    assert 'The limit' not in page.render(folder)


def test_a_changed_number_is_noticed(folder, monkeypatch, capsys):
    monkeypatch.setattr(page, 'PAGE', folder.parent / 'performance.md')
    monkeypatch.setattr(page, 'ROOT', folder.parent)
    monkeypatch.setattr(page.render, '__defaults__', (folder,))
    assert benchmark.main(['page', '--check']) == 1
    assert 'performance.md is not what' in capsys.readouterr().err
    assert benchmark.main(['page']) == 0
    assert benchmark.main(['page', '--check']) == 0
    changed = page.PAGE.read_text().replace('200.0', '100.0')
    page.PAGE.write_text(changed)
    assert benchmark.main(['page', '--check']) == 1
    assert page.PAGE.read_text() == changed  # --check writes nothing


def test_files_and_places_must_fit(folder):
    (folder / 'other.json').write_text('{}')
    with pytest.raises(UserError, match=r'no other: other\.json'):
        page.render(folder)
    (folder / 'other.json').unlink()
    (folder / 'a.json').unlink()
    with pytest.raises(UserError, match=r'no other: a\.json'):
        page.render(folder)


def test_limits_of_the_op_are_those_of_large_tensors():
    def row(direction, size, factor):
        return {
            'direction': direction, 'bytes': size, 'times_bound': {'auto': factor},
            'seconds': times(auto=1.0),
        }  # fmt: skip

    passes = {
        'a': row('forward', 2**26, 2.04), 'b': row('forward', 2**27, 3.0),
        'c': row('both', 2**27, 4.0), 'small': row('forward', 2**20, 99.0),
    }  # fmt: skip
    settings = {'growth': False}
    record = {'benchmark': 'op', 'settings': settings, 'variants': ['auto'], 'passes': passes}
    said = page.limits(record)
    assert '2.0 to 3.0 times the bound forward and 4.0 times with the backward pass' in said
