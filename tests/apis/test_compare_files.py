"""Files of scores that are compared: how they are joined, and which are refused."""

import sys
from pathlib import Path

import pytest
from apis.score_files import B, refuse, run, write

from condseg_mmseg.cli import main
from condseg_mmseg.evaluation.score_file import read_scores


def test_order_and_folders_do_not_matter(two_runs: tuple, capsys: pytest.CaptureFixture) -> None:
    expected, _ = run(capsys, *two_runs)
    moved = two_runs[1].with_name('moved.csv')
    write(moved, {f'other/place/{key}.jpg': B[key] for key in reversed(B)})
    report, out = run(capsys, two_runs[0], moved)
    assert report['scores'] == expected['scores']
    assert report['joined_by'] == 'name'
    assert 'joined by name' in out
    windows = write(
        two_runs[1].with_name('windows.csv'), {f'C:\\x\\{k}.png': v for k, v in B.items()}
    )
    assert run(capsys, two_runs[0], windows)[0]['scores'] == expected['scores']


def test_names_with_dots(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    a = write(tmp_path / 'a.csv', {'case.1': (1,), 'case.2': (2,)}, ('dice',))
    b = write(tmp_path / 'b.csv', {'x/case.1.png': (1,), 'x/case.2.png': (3,)}, ('dice',))
    assert run(capsys, a, b)[0]['scores']['dice']['b_better'] == 1


def test_images_of_one_file_only(two_runs: tuple, capsys: pytest.CaptureFixture) -> None:
    fewer = write(two_runs[1].with_name('fewer.csv'), {k: B[k] for k in 'abc'} | {'z': (1, 1)})
    message = refuse(capsys, two_runs[0], fewer)
    assert f'only in {two_runs[0]}, 2: d, e' in message
    assert f'only in {fewer}, 1: z' in message
    assert '--common' in message
    report, out = run(capsys, two_runs[0], fewer, '--common')
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


def test_nothing_in_common(two_runs: tuple, capsys: pytest.CaptureFixture) -> None:
    other = write(two_runs[1].with_name('other.csv'), {'q': (1, 1)})
    assert 'share no image; they name a and q' in refuse(capsys, two_runs[0], other, '--common')


def test_scores_of_one_file_only(two_runs: tuple, capsys: pytest.CaptureFixture) -> None:
    wide = write(two_runs[1].with_name('wide.csv'), {k: (*v, 1) for k, v in B.items()},
                 ('dice', 'mae', 'hd95'))  # fmt: skip
    report, out = run(capsys, two_runs[0], wide)
    assert report['not_shared'] == ['hd95']
    assert 'scores in one file only: hd95' in out
    message = refuse(capsys, two_runs[0], wide, '--score', 'hd95')
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


# ------------------------------------------------------------------------------------- wrong input


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
    two_runs: tuple, text: str, message: str, capsys: pytest.CaptureFixture
) -> None:
    wrong = two_runs[0].with_name('wrong.csv')
    wrong.write_text(text)
    with pytest.raises(ValueError, match=f'wrong.csv.*{message}'):
        read_scores(wrong)
    assert str(wrong) in refuse(capsys, two_runs[0], wrong)


def test_wrong_options(two_runs: tuple, capsys: pytest.CaptureFixture) -> None:
    assert 'got -1' in refuse(capsys, *two_runs, '--top', -1)
    assert 'got 0' in refuse(capsys, *two_runs, '--resamples', 0)
    picture = two_runs[0].with_name('picture.png')
    picture.write_bytes(b'\x89PNG')
    for path in (picture, two_runs[0].with_name('nothing.csv')):
        message = f'{path} cannot be read as a CSV file of scores: '
        assert message in refuse(capsys, two_runs[0], path)
    assert (
        main(['compare', str(two_runs[0]), str(two_runs[1]), '--json', str(two_runs[0].parent)])
        == 2
    )
    assert 'is a folder: give a file' in capsys.readouterr().err
    kept = write(two_runs[0].with_name('kept.json'), {})
    before = kept.read_text()
    assert main(['compare', str(two_runs[0]), str(two_runs[1]), '--json', str(kept)]) == 2
    assert 'is there already: add --force to replace it' in capsys.readouterr().err
    assert kept.read_text() == before


def test_missing_scipy_names_the_extra(
    two_runs: tuple, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'scipy', None)
    monkeypatch.setitem(sys.modules, 'scipy.stats', None)
    assert 'pip install "condseg-mmseg[metrics]"' in refuse(capsys, *two_runs)
