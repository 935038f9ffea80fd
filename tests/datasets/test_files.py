"""Which files a folder holds."""

from pathlib import Path

import pytest

from condseg_mmseg.datasets.files import FolderIndex


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    root, far = tmp_path / 'root', tmp_path / 'far'
    for path in (root / 'a.png', root / 'real' / 'b.png', far / 'c.png', far / 'deep' / 'd.png'):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (root / 'self').symlink_to(root)
    (root / 'again').symlink_to(root / 'real')  # before its target in the alphabet
    (root / 'far1').symlink_to(far)
    (root / 'far2').symlink_to(far)
    (far / 'back').symlink_to(root)
    (far / 'deep' / 'up').symlink_to(far)
    found = ['a.png', 'far1/c.png', 'far1/deep/d.png', 'real/b.png']
    assert sorted(FolderIndex(str(root)).files) == found
    (tmp_path / 'link').symlink_to(root)
    assert sorted(FolderIndex(str(tmp_path / 'link')).files) == found


def test_the_folder_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in 'ab':
        (tmp_path / f'{name}.jpg').touch()
    index = FolderIndex(str(tmp_path))
    monkeypatch.setattr('os.scandir', lambda *_: pytest.fail('scanned again'))
    assert index.find('a') == ['a.jpg']
    assert index.find('b.jpg') == ['b.jpg']
    assert index.find('d') == []
