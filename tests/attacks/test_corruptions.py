"""Every generated corruption is refused, changes nothing, or is listed as undetectable."""

import re
import warnings
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from attacks.corruptions import UNDETECTABLE, Corruption, corruptions
from helpers import FULL, figure

from condseg_mmseg.datasets import BinaryMedicalDataset
from condseg_mmseg.datasets.files import check_pairs
from condseg_mmseg.doctor import check_dataset
from condseg_mmseg.doctor.scan import decode_image, decode_mask
from condseg_mmseg.preparation import prepare
from condseg_mmseg.utils.errors import UserError

BETWEEN_FILES = ('duplicate', 'mask-set')  # they say nothing about a single file


@pytest.fixture(scope='module')
def cases() -> list[Corruption]:
    made = corruptions(FULL)
    assert len(made) >= (2000 if FULL else 200)
    assert len({case.name for case in made}) == len(made)
    return made


@pytest.fixture(scope='module')
def folder(cases, tmp_path_factory) -> Path:
    """One data set that holds every pair."""
    root = tmp_path_factory.mktemp('corrupt')
    for case in cases:
        for role, (ending, content) in case.files.items():
            path = root / f'{role}s' / f'{case.name}.{ending}'
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
    return root


def paths(root: Path, case: Corruption) -> tuple[str, str]:
    image, mask = (root / f'{r}s' / f'{case.name}.{case.files[r][0]}' for r in ('image', 'mask'))
    return str(image), str(mask)


@pytest.fixture(scope='module')
def refused(cases, folder) -> set[str]:
    """Names of the cases for which ``condseg check`` reports an error that names the file."""
    record = check_dataset(
        folder, mask_mode='threshold', near_correlation=2, tiny=0, fail_on='error', workers=2
    )
    files = {
        file
        for finding in record['findings']
        if finding['severity'] == 'error' and finding['kind'] not in BETWEEN_FILES
        for file in finding['files']
    }
    return {case.name for case in cases if paths(folder, case)[case.role == 'mask'] in files}


def decodes_equal(root: Path, case: Corruption) -> bool:
    """Whether the loaders give the same pixels as for the undamaged file."""
    read = decode_image if case.role == 'image' else decode_mask
    before = root / f'before.{case.files[case.role][0]}'
    before.write_bytes(case.original)
    here = paths(root, case)[case.role == 'mask']
    return np.array_equal(read(here), read(str(before)))


def test_each_is_refused_or_harmless_or_listed(cases, folder, refused, capsys):
    verdicts: dict[str, Counter] = {}
    silent = []
    for case in cases:
        verdict = 'refused'
        if case.name not in refused:
            equal = bool(case.original) and decodes_equal(folder, case)
            verdict = 'harmless' if equal else 'undetectable' if case.excuse else 'SILENT'
        verdicts.setdefault(case.format, Counter())[verdict] += 1
        if verdict == 'SILENT':
            silent.append(case.name)
    total = sum(verdicts.values(), Counter())
    with capsys.disabled():
        print(f'\n{total.total()} corruptions: {dict(total)}')
        for form, counts in verdicts.items():
            print(f'  {form}: {dict(counts)}. {UNDETECTABLE.get(form.split("-p")[0], "")}')
    kinds = ('refused', 'harmless', 'undetectable')
    figure(
        'corruptions of images and masks',
        f'{total.total()}: ' + ', '.join(f'{total[kind]} {kind}' for kind in kinds),
    )
    assert silent == []
    assert set(total) == set(kinds)
    assert total['refused'] > total.total() / 2
    assert verdicts['png']['undetectable'] == 0


def test_the_data_set_refuses_the_same(cases, folder, refused):
    """When it is built or when the sample is taken, with the file's name."""
    pairs = {case.name: paths(folder, case) for case in cases}
    built = [name for name, pair in pairs.items() if not check_pairs([pair])]
    assert {name for name in pairs if name not in built} <= refused
    (folder / 'list').write_text('\n'.join(built))
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadBinaryMask', mode='threshold')]
    dataset = BinaryMedicalDataset(data_root=str(folder), ann_file='list', pipeline=pipeline)
    for index, name in enumerate(built):
        if name not in refused:
            assert dataset[index]['gt_seg_map'].shape == dataset[index]['img'].shape[:2]
            continue
        with pytest.raises(ValueError, match=re.escape(name)):
            dataset[index]


def test_prepare_refuses_the_same(cases, folder, refused, tmp_path):
    with pytest.raises(UserError, match='nothing was written') as error:
        prepare('custom', folder, tmp_path / 'out', workers=2, mask_mode='threshold')
    assert int(str(error.value).split()[0]) == len(refused)
    assert not (tmp_path / 'out').exists()


def test_what_is_made_is_the_same_each_time(cases):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        again = corruptions(FULL)
    assert [case.files for case in again] == [case.files for case in cases]
    assert cv2.imdecode(np.frombuffer(cases[0].original, np.uint8), 1) is not None
