"""The page of the comparison: values from small files of scores, and the committed page."""

import json

import numpy as np
import pytest
import results
import results_tables as tables
from dev_common import replace_block
from evidence_runs import BASELINES
from helpers import ROOT
from run_files import Trained, stacked

from condseg_mmseg.evaluation.grouped_interval import mean_difference
from condseg_mmseg.utils.errors import UserError

NAMES = ['1', '2', '30', '31', '60', '61']  # frames of CVC-ClinicDB, of three sequences
HEAD = 'img_path,tp,fp,fn,tn,dice,iou,weighted_f,mae,object_recall,object_precision\n'


def write(root, part, label, seed, dice, kinds=('', '_best', '_unseen', '_polyp_free', '_light')):
    folder = root / 'docs/results/comparison' / part
    folder.mkdir(parents=True, exist_ok=True)
    stem = f'{results.Path(label.replace(" ", "-")).name}-seed{seed}'
    record = {'label': label, 'seed': seed, 'parameters_m': 1.5}
    record['configs'] = ['condseg_lite0_1xb8-12e_kvasir-seg-160x160']
    (folder / f'{stem}.json').write_text(json.dumps(record))
    for kind in kinds:
        rows = [
            f'{name},{5 * i},0,5,{95 - 5 * i},{d},{d - 10},{d},1.0,100,{"" if i else 50}'
            for i, (name, d) in enumerate(zip(NAMES, dice, strict=True))
        ]
        if kind == '_polyp_free':
            rows = [f'a,0,{20 * seed},0,100,0,0,,1,,', 'b,0,0,0,100,100,100,,0,,']
        (folder / f'{stem}{kind}.csv').write_text(HEAD + '\n'.join(rows) + '\n')


@pytest.fixture
def root(tmp_path):
    splits = tmp_path / 'configs/splits/cvc-clinicdb'
    splits.mkdir(parents=True)
    steps = tmp_path / 'docs/results/comparison/steps.json'
    steps.parent.mkdir(parents=True)
    seconds = {'condseg_lite0_1xb8-12e_kvasir-seg-160x160': 2.0, 'a': 1.234}
    made = {'machine': {'cpu': 'Some CPU', 'threads': 1}, 'versions': {'torch': '2.13.0'}}
    steps.write_text(json.dumps({'seconds': seconds, 'made_with': made}))
    rows = [f'{name},{i // 2}' for i, name in enumerate(NAMES)]
    (splits / 'sequences.csv').write_text('frame,sequence\n' + '\n'.join(rows) + '\n')
    return tmp_path


A = [[80, 82, 84, 90, 70, 74], [82, 84, 86, 90, 72, 78]]
B = [[70, 72, 80, 90, 60, 66], [72, 72, 82, 88, 64, 66]]


def test_seconds_of_both_stages(root):
    run = Trained({'configs': ['a', 'condseg_lite0_1xb8-12e_kvasir-seg-160x160']}, root)
    assert tables.step_seconds(run, root) == '1.23, then 2.00'
    assert tables.step_seconds(Trained({'configs': ['b']}, root), root) == '-'  # not timed


def test_mean_and_deviation_over_seeds_and_sizes(root):
    for seed in (0, 1):
        write(root, 'table', 'FPN', seed, A[seed])
    line = tables.scores_table(results.finished('table', root), root).splitlines()[2]
    # means 80 and 82; thirds of two images: (80 + 82) / 2 and (82 + 84) / 2 are 81 and 83
    # with one false alarm of 20 in 120 pixels, on one of two crops, of seed 1 only
    expected = mean_difference(np.array(A), np.zeros((2, 6)))
    assert line == (
        f'| FPN | 0, 1 | 81.0 ± 1.4 | {expected.low:.1f} .. {expected.high:.1f} | '
        '71.0 ± 1.4 | 81.0 ± 1.4 | 1.0 ± 0.0 | '
        '100.0 ± 0.0 | 50.0 ± 0.0 | 82.0 ± 1.4 | '
        '87.5 ± 0.7 | 73.5 ± 2.1 | 25.0 ± 35.4 | 4.17 ± 5.89 | '
        '81.0 ± 1.4 | 2.00 | 1.50 | 2.06 |'
    )
    line = tables.scores_table(results.finished('table', root), root, '_unseen').splitlines()[2]
    expected = mean_difference(np.array(A), np.zeros((2, 6)), [0, 0, 1, 1, 2, 2])
    assert f'| {expected.low:.1f} .. {expected.high:.1f} |' in line


def test_differences_are_those_of_the_planned_test(root):
    for seed in (0, 1):
        write(root, 'table', results.OURS, seed, A[seed])
        for label in BASELINES:
            write(root, 'table', label, seed, B[seed] if label == 'PraNet' else [60] * 6)
    runs = results.finished('table', root)
    assert next(iter(runs)) == results.OURS
    expected = mean_difference(np.array(A), np.array(B), [0, 0, 1, 1, 2, 2])
    cells = tables.difference(runs[results.OURS], runs['PraNet'], root, '_unseen')
    assert cells == [
        f'{expected.difference:+.1f}', f'{expected.low:+.1f} .. {expected.high:+.1f}',
        f'{expected.detectable:.1f}',
    ]  # fmt: skip
    assert tables.difference(runs[results.OURS], runs['PraNet'], root) != cells  # no groups
    assert 'best on the 120 is PraNet. On the unseen' in results.primary(runs, root)
    assert f'{cells[0]} points of mDice, 95 % interval {cells[1]};' in results.primary(runs, root)


def test_one_seed_compares_the_trained_networks_and_says_so(root):
    write(root, 'table', results.OURS, 0, A[0])
    write(root, 'table', 'FPN', 0, B[0])
    text = results.page(root)
    assert '(these networks)' in text
    assert 'Primary comparison' not in text  # baselines are missing
    for part, label, title in (
        ('ablation', '+ SID and CDFA', 'Ablation'), ('minutes', 'FPN', 'At equal minutes'),
        ('lite2', 'FPN, Lite2', 'EfficientNet-Lite2'),
    ):  # fmt: skip
        assert f'## {title}' not in results.page(root)
        write(root, part, label, 0, B[0])
        assert f'## {title}' in results.page(root)


def test_other_light_and_what_to_ship(root):
    write(root, 'table', 'ConDSeg', 0, A[0])
    write(root, 'table', 'ConDSeg', 1, A[1])
    write(root, 'table', results.OURS, 0, B[0])
    write(root, 'table', 'ConDSeg', 1, B[1], ('_light',))
    section = results.page(root).partition('in other light\n\n')[2].splitlines()
    assert section[3].startswith('| ConDSeg | 0, 1 | 77.0 ± 4.2 |')  # means of 80 and 74
    assert 'best on the 120 is ConDSeg, seed 1: mDice 82.0. Its' in results.page(root)


def test_the_block_of_the_readme(root):
    assert results.readme(root) == ''
    for seed in (0, 1):
        write(root, 'table', results.OURS, seed, A[seed])
        for label in ('ConDSeg', *BASELINES[1:]):
            write(root, 'table', label, seed, B[seed])
    assert results.readme(root) == ''  # one method is missing
    write(root, 'table', 'FPN', 0, B[0])
    lines = results.readme(root).splitlines()
    all_images = mean_difference(np.array(A), np.zeros((2, 6)))
    by_video = mean_difference(np.array(A), np.zeros((2, 6)), [0, 0, 1, 1, 2, 2])
    ours, *_ = (line for line in lines if line.startswith(f'| {results.OURS} |'))
    assert ours == (
        f'| {results.OURS} | 81.0 ({all_images.low:.1f} .. {all_images.high:.1f}) | 71.0 | '
        f'81.0 ({by_video.low:.1f} .. {by_video.high:.1f}) | 71.0 | 1.50 | 2.00 |'
    )
    assert 'mean over seeds (0, 1)' in results.readme(root)
    assert 'Some CPU, 1 thread, torch 2.13.0' in lines[-2]
    assert '**Primary comparison, before all seeds are there.**' in results.readme(root)
    page = (ROOT / 'README.md').read_text(encoding='utf-8')
    shown = replace_block(page, 'results', results.readme(root))
    assert shown.partition('<!-- results -->')[0] == page.partition('<!-- results -->')[0]


def test_the_readme_has_the_table_once_there_is_one():
    if block := results.readme():
        assert block in (ROOT / 'README.md').read_text(encoding='utf-8')


def test_uncertainty_over_seeds(tmp_path):
    folder = tmp_path / 'docs/results/uncertainty'
    folder.mkdir(parents=True)
    for seed, auc in enumerate((0.9, 0.92)):
        values = {name: {'auc': auc, 'average_precision': 0.3} for name in results.MAPS}
        sets = {key: {'maps': values} for key in ('val', 'unseen')}
        record = {'label': 'ConDSeg', 'sets': sets}
        (folder / f'{seed}.json').write_text(json.dumps(record))
    assert results.uncertainty(tmp_path).splitlines()[-2] == (
        '| ConDSeg (2) | entropy of the prediction | 0.910 ± 0.014 | 0.300 ± 0.000 | '
        '0.910 ± 0.014 | 0.300 ± 0.000 |'
    )


def test_the_trials(root):
    write(root, 'search', 'FPN: recipe', 0, A[0], ('',))
    write(root, 'search', 'FPN: recipe', 0, A[1], ('_unaveraged',))
    assert results.search(root).splitlines()[-1] == '| FPN: recipe | 82.0 | 72.0 | 80.0 | 70.0 |'


def test_other_images_are_refused(root):
    write(root, 'table', 'FPN', 0, A[0])
    write(root, 'table', 'FPN', 1, A[1])
    path = root / 'docs/results/comparison/table/FPN-seed1.csv'
    path.write_text(path.read_text().replace('61,', '62,'))
    with pytest.raises(UserError, match=r'FPN-seed1\.csv and .* hold different images'):
        stacked(results.finished('table', root)['FPN'])


def test_the_committed_page_is_what_the_files_give():
    page = ROOT / 'docs' / 'results' / 'comparison' / 'README.md'
    assert page.read_text(encoding='utf-8') == results.page()
