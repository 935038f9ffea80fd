"""docs/performance.md is what benchmark.py page writes from the files beside it."""

import json
import re
import sys

import pytest
from helpers import ROOT, load_script


@pytest.fixture(scope='module')
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / 'tools' / 'analysis_tools')
        yield load_script('tools/analysis_tools/benchmark.py')


@pytest.fixture
def page(benchmark):
    return sys.modules['_benchmark.page']


def times(**seconds):
    return {name: {'min': s, 'median': s, 'max': s} for name, s in seconds.items()}


def make_record(**more):
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
            'left_out': {},
        }

    environment = {
        'machine': 'Some Processor', 'threads': 2, 'date': '2026-05-04T03:02:01+00:00',
        'python': '3.11.7', 'torch': '2.9', 'mmengine': '1', 'mmcv': '2', 'mmseg': '3',
        'condseg_mmseg': '0.1.0', 'commit': 'abc123-dirty', 'native': 'no: no gcc',
    }  # fmt: skip
    return {
        'benchmark': 'model',
        'command': 'python tools/analysis_tools/benchmark.py model',
        'settings': {'config': 'configs/condseg/some.py'},
        'environment': environment,
        'variants': ['ours', 'ours-products'],
        'passes': {'64x64': row('small', 1.0), '128x128': row('large', 5.0)},
    } | more


def test_the_page_is_current(page):
    assert page.PAGE.read_text(encoding='utf-8') == page.render()


def test_every_file_has_a_section(page):
    files = {path.name for path in page.FOLDER.glob('*.json')}
    assert files
    assert files <= {what.file for what in page.SECTIONS}


def test_numbers_come_from_the_file(page, tmp_path):
    (tmp_path / 'model_256.json').write_text(json.dumps(make_record()))
    text = page.render(tmp_path)
    assert text.startswith('# Performance\n')
    assert re.findall('^## (.*)$', text, re.M) == ['Inference']
    assert '`some.py`' in text
    assert '| small | ours | 200.0 | baseline | 100.0 | - | - | - |' in text
    assert '| small | ours-products | 150.0 | 1.30 | - | - | 2.0e-06 | 0.9991 |' in text
    assert '\n    python tools/analysis_tools/benchmark.py model\n' in text
    flat = ' '.join(text.split())
    assert 'Some Processor, 2 threads, 2026-05-04, Python 3.11.7, torch 2.9' in flat
    assert 'commit abc123 with uncommitted changes. Without the aggregation in C: no gcc.' in flat
    # of their medians: 150 / 200 and 200 / 150
    assert 'They are 75% of its time; all else costs a factor 1.33.' in flat
    # 5 times the time for 4 times the pixels
    assert 'relative to 64x64: ours 1.25 at 128x128; ours-products 1.25 at 128x128.' in flat
    assert 'Peak of the whole process at 128x128' in flat
    assert 'ours 812 MiB.' in flat


def test_a_changed_number_is_noticed(page, tmp_path, monkeypatch, benchmark, capsys):
    folder = tmp_path / 'performance'
    folder.mkdir()
    (folder / 'model_256.json').write_text(json.dumps(make_record()))
    monkeypatch.setattr(page, 'PAGE', tmp_path / 'performance.md')
    monkeypatch.setattr(page, 'ROOT', tmp_path)
    monkeypatch.setattr(page.render, '__defaults__', (folder,))

    def status(*options):
        with pytest.raises(SystemExit) as stopped:
            benchmark.main(['page', *options])
        return stopped.value.code

    assert status('--check') == 1
    assert 'performance.md is not what' in capsys.readouterr().err
    assert status() == 0
    assert status('--check') == 0
    changed = page.PAGE.read_text().replace('200.0', '100.0')
    page.PAGE.write_text(changed)
    assert status('--check') == 1
    assert page.PAGE.read_text() == changed  # --check writes nothing


@pytest.mark.parametrize(
    ('files', 'message'),
    [
        ([], 'holds none of op.json'),
        (['model_256.json', 'other.json'], 'holds other.json: no section is about it'),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(page, tmp_path, files, message):
    for name in files:
        (tmp_path / name).write_text(json.dumps(make_record()))
    with pytest.raises(ValueError, match=message):
        page.render(tmp_path)


def test_limits_of_the_op_are_those_of_large_tensors(page):
    def row(direction, size, factor):
        return {
            'direction': direction, 'bytes': size, 'times_bound': {'auto': factor},
            'seconds': times(auto=1.0),
        }  # fmt: skip

    passes = {
        'a': row('forward', 2**26, 2.04), 'b': row('forward', 2**27, 3.0),
        'c': row('both', 2**27, 4.0), 'small': row('forward', 2**20, 99.0),
    }  # fmt: skip
    said = page._op_limits({'variants': ['reference', 'auto'], 'passes': passes})
    assert '2.0 to 3.0 times the bound forward and 4.0 times with the backward pass' in said
