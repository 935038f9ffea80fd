"""The shipped lists, and the rule that makes lists of names."""

import hashlib

import pytest
from helpers import ROOT

from condseg_mmseg.preparation import splits
from condseg_mmseg.preparation.glas import glas_lists
from condseg_mmseg.preparation.polyps import CVC_FRAMES
from condseg_mmseg.utils.csv_tables import read_group_table
from condseg_mmseg.utils.errors import UserError

SHIPPED = ROOT / 'configs' / 'splits'


def names(path) -> list[str]:
    return (SHIPPED / path).read_text().split()


def test_checksums_cover_every_list():
    sums = dict(line.split()[::-1] for line in (SHIPPED / 'SHA256SUMS').read_text().splitlines())
    there = {p.relative_to(SHIPPED).as_posix(): p for p in SHIPPED.glob('*/*')}
    assert sums.keys() == there.keys()
    for name, path in there.items():
        data = path.read_bytes()
        assert hashlib.sha256(data).hexdigest() == sums[name], name
        assert b'\r' not in data


def test_a_changed_or_missing_list_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / 'splits' / 'glas'
    folder.mkdir(parents=True)
    (tmp_path / 'splits' / 'SHA256SUMS').write_bytes((SHIPPED / 'SHA256SUMS').read_bytes())
    monkeypatch.setattr(splits, 'config_dir', lambda: tmp_path)
    with pytest.raises(UserError, match=r'train\.txt is missing or was changed'):
        splits.shipped('glas/train.txt')
    (folder / 'train.txt').write_bytes((SHIPPED / 'glas' / 'train.txt').read_bytes())
    assert splits.shipped_names('glas/train.txt') == names('glas/train.txt')
    (folder / 'train.txt').write_text('train_1\n')
    with pytest.raises(UserError, match=r'train\.txt is missing or was changed'):
        splits.shipped('glas/train.txt')


def test_kvasir_seg_lists():
    train, val = names('kvasir-seg/train.txt'), names('kvasir-seg/val.txt')
    assert (len(train), len(val)) == (880, 120)
    assert len({*train, *val}) == 1000


def test_kvasir_seg_lists_are_the_official_ones(kvasir_dir):
    for split in ('train', 'val'):
        official = (kvasir_dir / f'{split}.txt').read_bytes()
        assert (SHIPPED / 'kvasir-seg' / f'{split}.txt').read_bytes() == official


# of pictures that the data doctor finds nearly equal
NEAR = """
    cju30bmab08bi0835mvlr6e0r cju77k828z46w0871r0avuoo9 cju5fydrud94708507vo6oy21
    cju7avvi51iox0817ym55y6tt cju76lsehyia10987u54vn8rb cju772304yw5t0818vbw8kkjf
    cju886ryxnsl50801r93jai7q cju8amfdtqi4x09871tygrgqe
"""


def test_the_lists_to_choose_settings_with_follow_their_rule():
    train = names('kvasir-seg/train.txt')
    order = sorted(train, key=lambda name: hashlib.sha256(f'0:{name}'.encode()).hexdigest())
    val = {*[name for name in order if name not in NEAR.split()][:100]}
    assert names('kvasir-seg/search_val.txt') == [name for name in train if name in val]
    assert names('kvasir-seg/search_train.txt') == [name for name in train if name not in val]


def test_kvasir_sessile_lists_follow_their_rule():
    known = names('kvasir-sessile/names.txt')
    assert len(known) == 195
    lists = {split: names(f'kvasir-sessile/{split}.txt') for split in ('train', 'val', 'test')}
    order = sorted(known, key=lambda name: hashlib.sha256(f'0:{name}'.encode()).hexdigest())
    assert set(lists['test']) == set(order[:20])
    assert set(lists['val']) == set(order[20:40])
    assert set(lists['train']) == set(order[40:])
    assert all(part == sorted(part) for part in lists.values())


def test_kvasir_sessile_is_a_subset_of_kvasir_seg():
    known = set(names('kvasir-sessile/names.txt'))
    assert len(known & set(names('kvasir-seg/train.txt'))) == 170
    assert len(known & set(names('kvasir-seg/val.txt'))) == 25


def test_glas_lists_are_made_of_numbers():
    for file, made in glas_lists().items():
        assert names(f'glas/{file}') == made
    assert names('glas/train.txt')[::84] == ['train_1', 'train_85']
    assert names('glas/test.txt') == names('glas/testA.txt') + names('glas/testB.txt')
    assert [len(names(f'glas/{part}.txt')) for part in ('train', 'testA', 'testB')] == [85, 60, 20]


def test_cvc_clinicdb_sequences():
    rows = [line.split(',') for line in (SHIPPED / 'cvc-clinicdb/sequences.csv').open()][1:]
    frames, sequences = zip(*((int(f), int(s)) for f, s in rows), strict=True)
    assert frames == tuple(range(1, 613))
    assert list(sequences) == sorted(sequences)  # each is one run of frames
    sizes = [sequences.count(number) for number in range(1, 30)]
    # as the data set's documentation lists them
    assert sizes == [25, 25, 17, 11, 25, 23, 25, 26, 22, 6, 22, 25, 25, 20, 20, 25, 21, 20, 25, 20,
                     19, 19, 12, 25, 25, 18, 25, 20, 21]  # fmt: skip
    assert sum(sizes) == 612


def test_cvc_clinicdb_lists_keep_sequences_whole():
    path = SHIPPED / 'cvc-clinicdb' / 'sequences.csv'
    groups = read_group_table(path.read_bytes(), 'sequences.csv', ('frame', 'sequence'))
    lists = {split: names(f'cvc-clinicdb/{split}.txt') for split in ('train', 'val', 'test')}
    assert lists == splits.split_names(CVC_FRAMES, groups=groups)
    assert sorted(frame for part in lists.values() for frame in part) == sorted(CVC_FRAMES)
    taken = {split: {groups[frame] for frame in part} for split, part in lists.items()}
    assert [len(taken[split]) for split in ('train', 'val', 'test')] == [23, 3, 3]
    assert len(set.union(*taken.values())) == 29
    assert names('cvc-clinicdb/all.txt') == list(CVC_FRAMES)


def test_single_names_get_exact_shares():
    made = splits.split_names([f'n{i}' for i in range(50)], (0.5, 0.3, 0.2))
    assert {split: len(part) for split, part in made.items()} == dict(train=25, val=15, test=10)
    assert all(part == sorted(part, key=lambda n: int(n[1:])) for part in made.values())
    made = splits.split_names([f'n{i}' for i in range(25)], (0.9, 0, 0.1))  # 2.5 goes up
    assert {split: len(part) for split, part in made.items()} == dict(train=22, test=3)


def test_the_split_depends_on_names_and_seed_only():
    every = [f'n{i}' for i in range(40)]
    made = splits.split_names(every)
    again = splits.split_names(every[::-1])
    assert {split: set(part) for split, part in made.items()} == {
        split: set(part) for split, part in again.items()
    }
    assert splits.split_names(every, seed=1) != made
    order = sorted(every, key=lambda name: hashlib.sha256(f'0:{name}'.encode()).hexdigest())
    assert set(made['test']) == set(order[:4])
    assert set(made['val']) == set(order[4:8])


def test_a_missing_name_leaves_the_others_where_they_are():
    order = splits.hash_order([f'n{i}' for i in range(40)], 0)
    assert splits.hash_order([name for name in order[::-1] if name != order[7]], 0) == [
        name for name in order if name != order[7]
    ]


@pytest.mark.parametrize('seed', range(8))
def test_groups_are_never_divided_and_come_close_to_their_share(seed):
    groups = {f'{g}.{i}': f'g{g}' for g in range(20) for i in range(1 + (g * 7) % 5)}
    made = splits.split_names(list(groups), (0.6, 0.2, 0.2), seed, groups)
    assert set(made) == {'train', 'val', 'test'}
    where = {}
    for split, part in made.items():
        for name in part:
            assert where.setdefault(groups[name], split) == split
    assert sum(map(len, made.values())) == len(groups)
    for split in ('val', 'test'):
        # the last group taken, or the first not taken, has at most 5 images
        assert abs(len(made[split]) - 0.2 * len(groups)) <= 3


def test_a_split_without_images_is_an_error():
    with pytest.raises(UserError, match='leaves nothing for train'):
        splits.split_names(['a', 'b'])
    with pytest.raises(UserError, match='leaves nothing for train and val'):
        splits.split_names(list('abcdef'), groups=dict.fromkeys('abcdef', 'one'))
    assert splits.split_names(['a', 'b'], (1, 0, 0)) == dict(train=['a', 'b'])


@pytest.mark.parametrize(
    'shares', [(0.5, 0.5, 0.5), (0, 0.5, 0.5), (1.2, -0.2, 0), (1, 0, float('nan'))]
)
def test_wrong_shares_are_named(shares):
    with pytest.raises(UserError, match='got ' + str(shares[0])):
        splits.check_fractions(shares)
