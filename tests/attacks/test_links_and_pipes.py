"""Paths that lead out, links that run in a circle, pipes that never end, formats that are not read.

Each is refused or left out with a message by the data set, ``condseg check`` and
``condseg prepare``, and none waits for a pipe.
"""

import os
import signal
from pathlib import Path

import pytest
from attacks.corruptions import blob, encode, scene
from attacks.paths import IN_LISTS

from condseg_mmseg.datasets import BinaryMedicalDataset, DatasetFilesError
from condseg_mmseg.doctor import check_dataset
from condseg_mmseg.preparation import prepare
from condseg_mmseg.utils.errors import UserError


@pytest.fixture(autouse=True)
def _no_waiting():
    """A test that hangs fails after two minutes."""

    def stop(*_):
        raise TimeoutError('it waits for a pipe')

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate('abcdefghij'):
        for kind, array in (('images', scene(number)), ('masks', blob())):
            path = tmp_path / 'data' / kind / f'{name}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(array))
    return tmp_path / 'data'


def found(root: Path, **options) -> str:
    """What ``condseg check`` says, kind and detail a line."""
    record = check_dataset(root, near_correlation=2, workers=1, **options)
    findings = record['findings']
    return '\n'.join(f'{f["kind"]} {" ".join(f["files"])} {f["detail"]}' for f in findings)


def problems(root: Path, ann_file: str = '') -> str:
    with pytest.raises(DatasetFilesError) as error:
        BinaryMedicalDataset(data_root=str(root), ann_file=ann_file)
    return str(error.value)


def prepared(root: Path, **options) -> str:
    with pytest.raises(UserError) as error:
        prepare('custom', root, root.parent / 'out', dry_run=True, **options)
    return str(error.value)


@pytest.mark.parametrize('name', IN_LISTS)
def test_names_that_lead_out_are_refused(root: Path, name: str) -> None:
    (root.parent / 'secret.png').write_bytes(encode(scene()))
    (root / 'train.txt').write_text(f'a\n{name}\n')
    message = f'1 name that leads out of the folder: {name}; names are relative to it, without ..'
    assert message in problems(root, 'train.txt')
    assert message in found(root)
    assert message in prepared(root, train=root / 'train.txt')


def test_two_dots_within_a_name_are_a_name(root: Path) -> None:
    for kind in ('images', 'masks'):
        (root / kind / 'a.png').rename(root / kind / 'a..1.png')
    (root / 'train.txt').write_text('a..1\nb')
    assert len(BinaryMedicalDataset(data_root=str(root), ann_file='train.txt')) == 2


def test_linked_folders_are_followed_and_circles_are_left_out_with_a_message(root: Path) -> None:
    far = root.parent / 'far'
    for kind in ('images', 'masks'):
        (root / kind).rename(root.parent / f'{kind}-far')
        (root / kind).symlink_to(root.parent / f'{kind}-far')
        (root / kind / 'round').symlink_to(root / kind)
    with pytest.warns(UserWarning, match=r'1 link not followed, back into .*: .*images/round'):
        assert len(BinaryMedicalDataset(data_root=str(root))) == 10
    assert found(root).count('1 link not followed') == 2
    made = prepare('custom', root, far, dry_run=True)
    assert made.images == 10
    assert any('2 links not followed' in warning for warning in made.warnings)


def test_a_link_to_itself_is_unreadable(root: Path) -> None:
    (root / 'images' / 'a.png').unlink()
    (root / 'images' / 'a.png').symlink_to(root / 'images' / 'a.png')
    message = 'Too many levels of symbolic links'
    assert message in problems(root)
    assert message in found(root)
    assert '1 mask without image' in prepared(root)
    circle = root.parent / 'circle'
    circle.symlink_to(circle)
    assert 'circle' in prepared(circle)
    with pytest.raises(UserError, match='circle'):
        check_dataset(circle)
    assert 'no such folder' in problems(circle)


@pytest.mark.parametrize('kind', ['images', 'masks'])
def test_a_pipe_is_no_file(root: Path, kind: str) -> None:
    (root / kind / 'a.png').unlink()
    os.mkfifo(root / kind / 'a.png')
    message = 'a.png is no regular file'
    assert message in problems(root)
    assert f'unreadable {root}/{kind}/a.png' in found(root)
    assert message in found(root)
    assert f'1 {"mask" if kind == "images" else "image"} without' in prepared(root)


def test_a_list_a_table_and_a_source_may_be_no_pipe(root: Path) -> None:
    os.mkfifo(root / 'train.txt')
    assert 'train.txt is no regular file' in problems(root, 'train.txt')
    assert 'train.txt is no regular file' in found(root)
    assert 'train.txt is no regular file' in prepared(root, train=root / 'train.txt')
    assert 'no such file' in prepared(root, groups=root / 'train.txt')
    with pytest.raises(UserError, match=r'train\.txt is no regular file'):
        prepare('custom', root / 'train.txt', root.parent / 'out')


def test_a_pipe_in_the_output_is_something_else(root: Path) -> None:
    masks = root.parent / 'out' / 'masks'
    masks.mkdir(parents=True)
    os.mkfifo(masks / 'a.png')
    assert '1 file in' in prepared(root)


def test_what_is_there_in_a_format_that_is_not_read_is_named(root: Path) -> None:
    (root / 'images' / 'a.png').unlink()
    (root / 'images' / 'a.webp').write_bytes(encode(scene(), 'WEBP'))
    (root / 'train.txt').write_text('a\nb')
    hint = '(a.webp of a format that is not read here; store it as PNG, JPEG, BMP or TIFF)'
    assert f'image missing: {root}/images/a.* {hint}' in problems(root, 'train.txt')
    assert f"no image for 'a' {hint}" in found(root)
    assert 'skipped' in found(root)
    made = prepare('custom', root, root.parent / 'out', dry_run=True, allow_incomplete=True)
    assert any('1 file of a format that is not read' in warning for warning in made.warnings)


@pytest.mark.parametrize(('kind', 'ending'), [('WEBP', 'jpg'), ('GIF', 'png')])
def test_the_real_format_is_named(root: Path, kind: str, ending: str) -> None:
    (root / 'images' / 'a.png').unlink()
    (root / 'images' / f'a.{ending}').write_bytes(encode(scene(), kind))
    message = f'is a {kind} file, which is not read here; store it as PNG, JPEG, BMP or TIFF'
    assert f'a.{ending}: {message}' in problems(root)
    assert f'a.{ending} {message}' in found(root)
    assert f'a.{ending}: {message}' in prepared(root)


def test_another_ending_of_a_format_that_is_read_is_a_note(root: Path) -> None:
    (root / 'images' / 'a.jpg').write_bytes((root / 'images' / 'a.png').read_bytes())
    (root / 'images' / 'a.png').unlink()
    assert f'other-suffix {root}/images/a.jpg a PNG file, read as that' in found(root)
    assert len(BinaryMedicalDataset(data_root=str(root))) == 10


@pytest.mark.parametrize(
    ('mask', 'message'),
    [
        (blob(0), 'all 10 masks are empty'),
        (blob(0) + 255, 'all 10 masks are full'),
        (255 - blob(), '10 of 10 masks look inverted'),
    ],
)
def test_a_set_of_masks_is_judged_by_check_and_prepare_alone(root: Path, mask, message) -> None:
    for path in (root / 'masks').iterdir():
        path.write_bytes(encode(mask))
    assert f'mask-set {root}/masks/a.png' in found(root)
    assert message in found(root)
    assert message in prepared(root)
    made = prepare('custom', root, root.parent / 'out', dry_run=True, force_mode=True)
    assert any(message in warning for warning in made.warnings)
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadBinaryMask')]
    dataset = BinaryMedicalDataset(data_root=str(root), pipeline=pipeline)
    assert len([dataset[index] for index in range(10)]) == 10


def test_one_mask_may_be_empty(root: Path) -> None:
    (root / 'masks' / 'a.png').write_bytes(encode(blob(0)))
    assert 'mask-set' not in found(root)
    assert prepare('custom', root, root.parent / 'out', dry_run=True).images == 10


def test_a_path_may_be_given_alone_and_folder_options_need_a_folder(root: Path) -> None:
    assert found(str(root)) == found(root)
    for option in (dict(img_dir='images'), dict(seg_map_suffix='_m'), dict(mask_mode='nonzero')):
        name = next(iter(option)).replace('_', '-')
        with pytest.raises(UserError, match=f'--{name} needs a folder as DATA'):
            check_dataset('condseg_r50_1xb12-300e_kvasir-seg-256x256', **option)
