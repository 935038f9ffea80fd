"""Folders and archives: every kind gives the same, none is written to or trusted."""

import json

import pytest
from attacks.paths import IN_ARCHIVES, add_link
from preparation.samples import encode, files, make_folder, make_tar, make_zip, picture, tree


@pytest.mark.parametrize('kind', ['folder', 'tar', 'tgz', 'two archives'])
def test_every_kind_of_source_gives_the_same(kind, src, tmp_path, run):
    content = files()
    other = tmp_path / 'other'
    if kind == 'folder':
        sources = [make_folder(other, content)]
    elif kind == 'tar':
        # masks first: members are read in the archive's order, not in ours
        sources = [make_tar(tmp_path / 'o.tar', dict(reversed(content.items())))]
    elif kind == 'tgz':
        sources = [make_tar(tmp_path / 'o.tgz', content, 'w:gz')]
    else:
        sources = [
            make_zip(tmp_path / f'{part}.zip', {k: v for k, v in content.items() if part in k})
            for part in ('images', 'masks')
        ]
    assert run('custom', src, tmp_path / 'a')[0] == 0
    assert run('custom', *sources, tmp_path / 'b', '--workers', 3)[0] == 0
    a, b = tree(tmp_path / 'a'), tree(tmp_path / 'b')
    of_a, of_b = (json.loads(made.pop('dataset.json')) for made in (a, b))
    assert a == b
    assert of_a.pop('sources') != of_b.pop('sources')
    assert of_a == of_b


def test_a_damaged_member_is_named(tmp_path, refused):
    src = make_zip(tmp_path / 'a.zip', files())
    data, content = bytearray(src.read_bytes()), files()['top/images/case3.jpg']
    at = bytes(data).index(content)
    data[at + 50] ^= 0xFF  # the checksum shows it, the image's header would not
    src.write_bytes(data)
    assert 'image a.zip/top/images/case3.jpg: unreadable in the archive (Bad CRC-32' in refused(
        'custom', src, tmp_path / 'out'
    )


@pytest.mark.parametrize(
    ('name', 'content', 'text'),
    [
        ('text.zip', slice(1), 'neither a folder nor a whole zip or tar file'),
        ('half.zip', slice(-100), 'neither a folder nor a whole zip or tar file'),
        ('bad.rar', slice(None), 'unpack it first'),
        ('down', slice(None), 'give them as SRC: down/one.zip'),
        ('missing', None, 'no such file or folder'),
    ],
)
def test_sources_that_cannot_be_read(name, content, text, src, tmp_path, refused):
    if content is not None:
        file = 'down/one.zip' if name == 'down' else name
        make_folder(tmp_path, {file: src.read_bytes()[content]})
    message = refused('custom', tmp_path / name, tmp_path / 'out')
    assert text in message
    assert message.count('\n') == 1


@pytest.mark.parametrize('name', IN_ARCHIVES)
@pytest.mark.parametrize('make', [make_zip, make_tar])
def test_paths_that_lead_out_are_refused(name, make, tmp_path, refused):
    (tmp_path / 'a' / 'b').mkdir(parents=True)
    src = make(tmp_path / 'a' / 'b' / 'x', files() | {name: b'evil'})
    assert 'lead out of it' in refused('custom', src, tmp_path / 'a' / 'b' / 'out')
    assert not list(tmp_path.rglob('evil*'))
    assert not (tmp_path / 'a' / 'b' / 'out').exists()


def test_links_in_a_tar_are_not_followed(tmp_path, run):
    secret = tmp_path / 'secret.jpg'
    secret.write_bytes(encode(picture(), 'JPEG'))
    src = make_tar(tmp_path / 'a.tar', files())
    add_link(src, 'top/images/link.jpg', secret)
    assert run('custom', src, tmp_path / 'out')[0] == 0
    assert not (tmp_path / 'out' / 'images' / 'link.jpg').exists()


@pytest.mark.parametrize('case', ['same', 'inside', 'around', 'linked', 'file'])
def test_originals_and_result_may_not_overlap(case, tmp_path, refused):
    src = make_folder(tmp_path / 'data' / 'raw', files())
    out = dict(same=src, inside=src / 'out', around=tmp_path / 'data').get(case, tmp_path / 'out')
    if case == 'linked':
        out.mkdir()
        (out / 'images').symlink_to(src / 'top' / 'images')
    elif case == 'file':
        out.write_text('a file')
    before = tree(tmp_path)
    message = refused('custom', src, out, '--force')
    assert ('is no writable folder' if case == 'file' else 'overlap') in message
    assert tree(tmp_path) == before


def test_a_link_back_up_is_not_followed(tmp_path, run):
    src = make_folder(tmp_path / 'src', files())
    (src / 'top' / 'images' / 'again').symlink_to(src)
    assert run('custom', src, tmp_path / 'out')[0] == 0
    assert len(list((tmp_path / 'out' / 'images').rglob('*'))) == 10
