"""Files are written as a whole or not at all."""

import hashlib
import json
import os

import pytest

from condseg_mmseg.utils.files import replaced_at_once, sha256, write_json, write_text


def test_a_file_is_replaced_when_the_block_ends(tmp_path):
    path = tmp_path / 'a.csv'
    path.write_text('old')
    with replaced_at_once(path) as temporary:
        temporary.write_text('new')
        assert (temporary.parent, temporary.suffix) == (tmp_path, '.csv')
        assert path.read_text() == 'old'
    assert path.read_text() == 'new'
    assert os.listdir(tmp_path) == ['a.csv']


@pytest.mark.parametrize('sync', [True, False])
def test_file_and_folder_reach_the_disk(tmp_path, monkeypatch, sync):
    synced = []
    monkeypatch.setattr(os, 'fsync', lambda handle: synced.append(os.fstat(handle).st_ino))
    with replaced_at_once(tmp_path / 'a.csv', sync=sync) as temporary:
        temporary.write_text('new')
    inodes = [path.stat().st_ino for path in (tmp_path / 'a.csv', tmp_path)]
    assert synced == (inodes if sync else [])


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / 'a.csv'
    path.write_text('old')

    def write():
        with replaced_at_once(path) as temporary:
            temporary.write_text('half of the n')
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert path.read_text() == 'old'
    assert os.listdir(tmp_path) == ['a.csv']


def test_two_writers_do_not_share_a_temporary_file(tmp_path):
    path = tmp_path / 'a.csv'
    with replaced_at_once(path) as one:
        one.write_text('one')
        with replaced_at_once(path) as two:
            two.write_text('two')
        assert path.read_text() == 'two'
    assert path.read_text() == 'one'


def test_permissions_are_those_of_any_new_file_and_links_stay(tmp_path):
    (tmp_path / 'link').symlink_to(tmp_path / 'real')
    before = os.umask(0o027)
    try:
        write_text(tmp_path / 'link', 'ü')
    finally:
        os.umask(before)
    assert (tmp_path / 'link').is_symlink()
    assert (tmp_path / 'real').read_bytes() == 'ü'.encode()
    assert (tmp_path / 'real').stat().st_mode & 0o777 == 0o640


def test_json_has_null_for_what_is_no_number(tmp_path):
    path = tmp_path / 'new' / 'a.json'
    write_json(path, dict(a=[1.5, float('nan')], b=(float('inf'),), c='ü'))
    assert json.loads(path.read_text()) == dict(a=[1.5, None], b=[None], c='ü')
    assert path.read_text().endswith('}\n')
    assert sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_json_holds_file_names_that_are_no_utf8(tmp_path):
    write_json(tmp_path / 'a.json', ['p\udce9', 'ü'])
    assert json.loads((tmp_path / 'a.json').read_text(encoding='utf-8')) == ['p\udce9', 'ü']
    assert 'ü' in (tmp_path / 'a.json').read_text(encoding='utf-8')
