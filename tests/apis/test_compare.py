"""The paired comparison: figures by hand and against SciPy, joining, and what is refused."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT
from scipy import stats

from condseg_mmseg.apis.compare import compare
from condseg_mmseg.cli import main
from condseg_mmseg.evaluation.bootstrap import bootstrap_interval
from condseg_mmseg.evaluation.grouped_interval import mean_difference
from condseg_mmseg.evaluation.score_file import read_scores

RESULTS = ROOT / 'docs' / 'results' / 'kvasir-seg-160x160'


def write(path: Path, rows: dict[str, tuple], columns: tuple = ('dice', 'mae')) -> Path:
    with path.open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['img_path', *columns])
        writer.writerows([name, *values] for name, values in rows.items())
    return path


A = dict(a=(50, 10), b=(60, 10), c=(70, 10), d=('', 10), e=(90, 10))
B = dict(a=(54, 9), b=(58, 10), c=(70, 12), d=(80, 11), e=(91, ''))


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return write(tmp_path / 'a.csv', A), write(tmp_path / 'b.csv', B)


def run(capsys: pytest.CaptureFixture, a: Path, b: Path, *options: object) -> tuple[dict, str]:
    out = a.parent / 'out' / 'report.json'
    assert main(['compare', str(a), str(b), '--json', str(out), '--force', *map(str, options)]) == 0
    return json.loads(out.read_text()), capsys.readouterr().out


def refuse(capsys: pytest.CaptureFixture, a: Path, b: Path, *options: object) -> str:
    out = a.parent / 'refused.json'
    try:
        code = main(['compare', str(a), str(b), '--json', str(out), *map(str, options)])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert not out.exists()
    return capsys.readouterr().err


# ------------------------------------------------------------------------------- figures


def test_by_hand(files: tuple, capsys: pytest.CaptureFixture) -> None:
    report, _ = run(capsys, *files)
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


def test_a_run_against_itself(files: tuple, capsys: pytest.CaptureFixture) -> None:
    report, out = run(capsys, files[0], files[0])
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


def test_images_that_changed_most(files: tuple, capsys: pytest.CaptureFixture) -> None:
    report, out = run(capsys, *files, '--top', 2)
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
    report, _ = run(capsys, *files, '--score', 'mae')
    assert [row['image'] for row in report['most_changed']['images']] == ['c', 'a', 'd']
    assert run(capsys, *files, '--top', 0)[0]['most_changed']['images'] == []


def test_text(files: tuple, capsys: pytest.CaptureFixture) -> None:
    report, out = run(capsys, *files)
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


# ------------------------------------------------------------------------------- joining


def test_order_and_folders_do_not_matter(files: tuple, capsys: pytest.CaptureFixture) -> None:
    expected, _ = run(capsys, *files)
    moved = files[1].with_name('moved.csv')
    write(moved, {f'other/place/{key}.jpg': B[key] for key in reversed(B)})
    report, out = run(capsys, files[0], moved)
    assert report['scores'] == expected['scores']
    assert report['joined_by'] == 'name'
    assert 'joined by name' in out
    windows = write(files[1].with_name('windows.csv'), {f'C:\\x\\{k}.png': v for k, v in B.items()})
    assert run(capsys, files[0], windows)[0]['scores'] == expected['scores']


def test_names_with_dots(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    a = write(tmp_path / 'a.csv', {'case.1': (1,), 'case.2': (2,)}, ('dice',))
    b = write(tmp_path / 'b.csv', {'x/case.1.png': (1,), 'x/case.2.png': (3,)}, ('dice',))
    assert run(capsys, a, b)[0]['scores']['dice']['b_better'] == 1


def test_images_of_one_file_only(files: tuple, capsys: pytest.CaptureFixture) -> None:
    fewer = write(files[1].with_name('fewer.csv'), {k: B[k] for k in 'abc'} | {'z': (1, 1)})
    message = refuse(capsys, files[0], fewer)
    assert f'only in {files[0]}, 2: d, e' in message
    assert f'only in {fewer}, 1: z' in message
    assert '--common' in message
    report, out = run(capsys, files[0], fewer, '--common')
    assert (report['images'], report['only_a'], report['only_b']) == (3, ['d', 'e'], ['z'])
    assert 'left out, only in A, 2: d, e' in out


def test_same_file_name_in_two_folders(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rows = {'x/1.png': (1,), 'y/1.png': (2,)}
    a = write(tmp_path / 'a.csv', rows, ('dice',))
    b = write(tmp_path / 'b.csv', {k: (v[0] + 1,) for k, v in rows.items()}, ('dice',))
    assert run(capsys, a, b)[0]['joined_by'] == 'path'
    fewer = write(tmp_path / 'd.csv', {'x/1.png': (3,)}, ('dice',))
    report, _ = run(capsys, a, fewer, '--common')
    assert (report['joined_by'], report['only_a']) == ('path', ['y/1.png'])
    moved = write(tmp_path / 'c.csv', {f'z/{k}': v for k, v in rows.items()}, ('dice',))
    assert 'the same file name in several rows: 1' in refuse(capsys, a, moved)


def test_nothing_in_common(files: tuple, capsys: pytest.CaptureFixture) -> None:
    other = write(files[1].with_name('other.csv'), {'q': (1, 1)})
    assert 'share no image; they name a and q' in refuse(capsys, files[0], other, '--common')


def test_scores_of_one_file_only(files: tuple, capsys: pytest.CaptureFixture) -> None:
    wide = write(files[1].with_name('wide.csv'), {k: (*v, 1) for k, v in B.items()},
                 ('dice', 'mae', 'hd95'))  # fmt: skip
    report, out = run(capsys, files[0], wide)
    assert report['not_shared'] == ['hd95']
    assert 'scores in one file only: hd95' in out
    message = refuse(capsys, files[0], wide, '--score', 'hd95')
    assert '--score hd95 is not in both files; they share dice, mae' in message


def test_runs_of_different_protocols_warn(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    columns = ('tp', 'fp', 'fn', 'tn', 'dice', 'size')
    a = write(tmp_path / 'a.csv', dict(x=(5, 0, 5, 90, 66, 'small'), y=(5, 5, 5, 85, 50, 'large')),
              columns)  # fmt: skip
    b = write(tmp_path / 'b.csv', dict(x=(6, 0, 4, 90, 75, 'small'), y=(9, 9, 9, 373, 50, 'large')),
              columns)  # fmt: skip
    assert main(['compare', str(a), str(b)]) == 0
    err = capsys.readouterr().err
    assert '1 images were scored at different sizes and 1 against truths of different areas' in err
    assert main(['compare', str(a), str(a)]) == 0
    assert 'warning' not in capsys.readouterr().err


# --------------------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'expected the columns img_path and at least one score.*an empty file'),
        ('name,dice\na,1\n', 'got name, dice'),
        ('img_path,tp,fp,fn,tn\na,1,1,1,1\n', 'at least one score'),
        ('img_path,dice\n', 'holds no image'),
        ('img_path,dice\na,1\na,2\n', 'the same image in several rows: a'),
        ('img_path,dice\na,x\n', "line 2, column dice: 'x' is no number"),
        ('img_path,dice\na,inf\n', "line 2, column dice: 'inf' is no number"),
        ('img_path,tp,dice\na,,1\nb,q,1\n', "line 3, column tp: 'q' is no number"),
        ('img_path,dice\na,1,2\n', 'line 2: 3 cells under 2 columns'),
        ('img_path,dice,dice\na,1,2\n', 'a column is there twice'),
    ],
)
def test_files_of_other_kinds(
    files: tuple, text: str, message: str, capsys: pytest.CaptureFixture
) -> None:
    wrong = files[0].with_name('wrong.csv')
    wrong.write_text(text)
    with pytest.raises(ValueError, match=f'wrong.csv.*{message}'):
        read_scores(wrong)
    assert str(wrong) in refuse(capsys, files[0], wrong)


def test_wrong_options(files: tuple, capsys: pytest.CaptureFixture) -> None:
    assert 'got -1' in refuse(capsys, *files, '--top', -1)
    assert 'got 0' in refuse(capsys, *files, '--resamples', 0)
    picture = files[0].with_name('picture.png')
    picture.write_bytes(b'\x89PNG')
    for path in (picture, files[0].with_name('nothing.csv')):
        message = f'{path} cannot be read as a CSV file of scores: '
        assert message in refuse(capsys, files[0], path)
    assert main(['compare', str(files[0]), str(files[1]), '--json', str(files[0].parent)]) == 2
    assert 'is a folder: give a file' in capsys.readouterr().err
    kept = write(files[0].with_name('kept.json'), {})
    before = kept.read_text()
    assert main(['compare', str(files[0]), str(files[1]), '--json', str(kept)]) == 2
    assert 'is there already: add --force to replace it' in capsys.readouterr().err
    assert kept.read_text() == before


def test_missing_scipy_names_the_extra(
    files: tuple, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'scipy', None)
    monkeypatch.setitem(sys.modules, 'scipy.stats', None)
    assert 'pip install "condseg-mmseg[metrics]"' in refuse(capsys, *files)


# ------------------------------------------------------------------------ groups and seeds


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


def test_two_files_keep_their_interval_and_gain_what_is_detectable(files, capsys) -> None:
    report, _ = run(capsys, *files)
    dice = report['scores']['dice']
    assert report['groups'] is None
    gains = np.array([[4.0, -2, 0, 1]])
    expected = mean_difference(gains, 0 * gains, fixed_seeds=True)
    assert dice['detectable'] == pytest.approx(expected.detectable)
    assert dice['interval'] != pytest.approx([expected.low, expected.high])  # a bootstrap


def test_wrong_groups_and_seeds_are_refused(files, capsys) -> None:
    assert 'has no column video; it has img_path, dice, mae' in refuse(
        capsys, *files, '--groups', 'video'
    )
    other = write(files[0].parent / 'other.csv', dict(z=(1, 2)))
    assert 'share no image' in refuse(capsys, *files, '--seeds-a', other)
