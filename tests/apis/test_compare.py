"""The paired comparison: figures by hand and against SciPy, over groups and seeds."""

import json
from pathlib import Path

import numpy as np
import pytest
from apis.score_files import refuse, run, write
from helpers import ROOT
from scipy import stats

from condseg_mmseg.apis.compare import compare
from condseg_mmseg.cli import main
from condseg_mmseg.evaluation.bootstrap import bootstrap_interval
from condseg_mmseg.evaluation.grouped_interval import mean_difference

RESULTS = ROOT / 'docs' / 'results' / 'kvasir-seg-160x160'


def test_by_hand(two_runs: tuple, capsys: pytest.CaptureFixture) -> None:
    report, _ = run(capsys, *two_runs)
    dice, mae = report['scores']['dice'], report['scores']['mae']
    # the pair d is undefined in A, e in B
    assert (dice['pairs'], dice['left_out']) == (4, 1)
    assert (dice['mean_a'], dice['mean_b']) == (67.5, 68.25)
    assert dice['mean_difference'] == 0.75
    assert (dice['b_better'], dice['equal'], dice['a_better']) == (2, 1, 1)
    # of 4, -2, 1 the ranks 3, 2, 1: W = 2; of the 8 signs 6 give a W this small
    assert dice['p_wilcoxon'] == pytest.approx(6 / 8)
    # less is better
    assert (mae['pairs'], mae['left_out'], mae['mean_difference']) == (4, 1, 0.5)
    assert (mae['b_better'], mae['equal'], mae['a_better']) == (1, 1, 2)
    assert not mae['higher_is_better']


def test_interval_and_p_value_against_scipy(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rng = np.random.default_rng(0)
    a = rng.random(80) * 100
    b = np.where(rng.random(80) < 0.1, a, a + rng.normal(3, 10, 80))
    names = [f'{i}.png' for i in range(80)]
    files = [
        write(tmp_path / f'{x}.csv', {n: (v,) for n, v in zip(names, y, strict=True)}, ('iou',))
        for x, y in (('a', a), ('b', b))
    ]
    report, _ = run(capsys, *files, '--score', 'iou', '--resamples', 4000)
    found = report['scores']['iou']
    assert found['equal'] == (a == b).sum() > 2
    assert found['p_wilcoxon'] == pytest.approx(stats.wilcoxon(b[a != b], a[a != b]).pvalue)
    expected = stats.bootstrap(
        (b - a,), np.mean, n_resamples=4000, method='percentile', rng=np.random.default_rng(1)
    ).confidence_interval
    assert found['interval'] == pytest.approx([expected.low, expected.high], abs=0.25)
    again, _ = run(capsys, *files, '--score', 'iou', '--resamples', 4000)
    assert again == report
    other, _ = run(capsys, *files, '--score', 'iou', '--resamples', 4000, '--seed', 1)
    assert other['scores']['iou']['interval'] != found['interval']


def test_a_run_against_itself(two_runs: tuple, capsys: pytest.CaptureFixture) -> None:
    report, out = run(capsys, two_runs[0], two_runs[0])
    for score, pairs in (('dice', 4), ('mae', 5)):
        found = report['scores'][score]
        assert found['p_wilcoxon'] == 1
        assert found['interval'] == [0, 0]
        assert (found['b_better'], found['equal'], found['a_better']) == (0, pairs, 0)
    assert report['most_changed']['images'] == []
    assert 'changed most' not in out


def test_rounding_is_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rows = {f'{i}': (50 + i,) for i in range(4)}
    a = write(tmp_path / 'a.csv', rows, ('dice',))
    b = write(tmp_path / 'b.csv', {k: (v[0] + 1e-12,) for k, v in rows.items()}, ('dice',))
    found = run(capsys, a, b)[0]['scores']['dice']
    assert (found['equal'], found['p_wilcoxon']) == (4, 1)


def test_a_score_that_no_pair_has(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    a = write(tmp_path / 'a.csv', dict(x=(1, ''), y=(2, '')), ('dice', 'hd95'))
    b = write(tmp_path / 'b.csv', dict(x=(1, 4), y=(2, 'nan')), ('dice', 'hd95'))
    found = run(capsys, a, b)[0]['scores']['hd95']
    assert (found['pairs'], found['left_out'], found['mean_a']) == (0, 2, None)
    assert found['interval'] is found['p_wilcoxon'] is None


def test_images_that_changed_most(two_runs: tuple, capsys: pytest.CaptureFixture) -> None:
    report, out = run(capsys, *two_runs, '--top', 2)
    assert report['most_changed'] == dict(
        score='dice',
        images=[
            dict(image='a', a=50, b=54, difference=4),
            dict(image='b', a=60, b=58, difference=-2),
        ],
    )
    lines = [line for line in out.splitlines() if line.startswith(('| a ', '| b '))]
    cells = [[cell.strip() for cell in line.split('|')[1:-1]] for line in lines]
    assert cells == [['a', '50.00', '54.00', '+4.00'], ['b', '60.00', '58.00', '-2.00']]
    report, _ = run(capsys, *two_runs, '--score', 'mae')
    assert [row['image'] for row in report['most_changed']['images']] == ['c', 'a', 'd']
    assert run(capsys, *two_runs, '--top', 0)[0]['most_changed']['images'] == []


def test_text(two_runs: tuple, capsys: pytest.CaptureFixture) -> None:
    report, out = run(capsys, *two_runs)
    low, high = report['scores']['dice']['interval']
    (line,) = (line for line in out.splitlines() if line.startswith('| dice '))
    expected = ['dice', '67.50', '68.25', '+0.75', f'{low:+.2f} .. {high:+.2f}']
    expected += [f'{report["scores"]["dice"]["detectable"]:.2f}', '0.7500', '2', '1', '1', '1']
    assert [cell.strip() for cell in line.split('|')[1:-1]] == expected
    assert '| mae (lower is better) |' in out


def test_published_runs(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    paths = [RESULTS / f'{name}.csv' for name in ('fpn', 'condseg')]
    out = tmp_path / 'report.json'
    assert main(['compare', *map(str, paths), '--json', str(out)]) == 0
    report = json.loads(out.read_text())
    tables = [np.genfromtxt(path, delimiter=',', names=True) for path in paths]
    assert (report['images'], report['joined_by'], report['other_size']) == (120, 'path', 0)
    for name in ('iou', 'dice', 'recall', 'precision', 'f2', 'accuracy'):
        difference = tables[1][name] - tables[0][name]
        found = report['scores'][name]
        assert found['mean_difference'] == pytest.approx(difference.mean())
        assert found['b_better'] == (difference > 0).sum()
        assert found['p_wilcoxon'] == pytest.approx(stats.wilcoxon(difference).pvalue)
        assert found['interval'] == pytest.approx(bootstrap_interval(difference[:, None])[:, 0])
    shown = capsys.readouterr().out.splitlines()
    documented = (ROOT / 'docs' / 'scores.md').read_text().splitlines()
    assert len([line for line in shown[:20] if line in documented and '|' in line]) > 12


# -------------------------------------------------------------------------------- groups and seeds


def many(folder: Path, side: str, seeds: int, rng: np.random.Generator) -> tuple[list, np.ndarray]:
    """Files of twelve images for several seeds, and their scores."""
    scores = 70 + rng.normal(0, 5, (seeds, 12))
    names = [f'{i}.png' for i in range(12)]
    paths = []
    for seed, row in enumerate(scores):
        rows = {n: (v, f'v{i // 3}') for i, (n, v) in enumerate(zip(names, row, strict=True))}
        items = list(rows.items())[::-1] if seed else rows.items()  # in another order
        paths.append(write(folder / f'{side}{seed}.csv', dict(items), ('dice', 'video')))
    return paths, scores


def test_groups_and_seeds_are_those_of_the_grouped_interval(tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(0)
    (a, x), (b, y) = (many(tmp_path, side, 3, rng) for side in 'ab')
    table = tmp_path / 'groups.csv'
    table.write_text('image,video\n' + ''.join(f'{i},v{i // 3}\n' for i in range(12)))
    expected = mean_difference(y, x, [i // 3 for i in range(12)])
    report = compare(a, b, groups='video')
    assert (report['seeds'], report['groups'], report['images']) == ([3, 3], 4, 12)
    found = report['scores']['dice']
    assert list(report['scores']) == ['dice']  # the column of groups is no score
    assert found['interval'] == pytest.approx([expected.low, expected.high])
    assert found['detectable'] == pytest.approx(expected.detectable)
    assert found['mean_difference'] == pytest.approx(expected.difference)
    single = compare(a[0], b[0], groups='video')['scores']['dice']
    fixed = mean_difference(y[:1], x[:1], [i // 3 for i in range(12)], fixed_seeds=True)
    assert single['interval'] == pytest.approx([fixed.low, fixed.high])
    for path in (*a, *b):  # without the column, from a table
        lines = [line.rpartition(',')[0] for line in path.read_text().splitlines()]
        path.write_text('\n'.join(lines) + '\n')
    report, text = run(
        capsys, a[0], b[0], '--seeds-a', *a[1:], '--seeds-b', *b[1:], '--groups', table
    )
    assert report['scores']['dice']['interval'] == pytest.approx([expected.low, expected.high])
    assert '12 images, joined by path, in 4 groups; 3 seeds of A, 3 of B' in text
    assert f'{expected.detectable:.2f}' in text


def test_two_files_keep_their_interval_and_gain_what_is_detectable(two_runs, capsys) -> None:
    report, _ = run(capsys, *two_runs)
    dice = report['scores']['dice']
    assert report['groups'] is None
    gains = np.array([[4.0, -2, 0, 1]])
    expected = mean_difference(gains, 0 * gains, fixed_seeds=True)
    assert dice['detectable'] == pytest.approx(expected.detectable)
    assert dice['interval'] != pytest.approx([expected.low, expected.high])  # a bootstrap


def test_wrong_groups_and_seeds_are_refused(two_runs, capsys) -> None:
    assert 'has no column video; it has img_path, dice, mae' in refuse(
        capsys, *two_runs, '--groups', 'video'
    )
    other = write(two_runs[0].parent / 'other.csv', dict(z=(1, 2)))
    assert 'share no image' in refuse(capsys, *two_runs, '--seeds-a', other)
