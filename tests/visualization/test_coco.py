import json

import numpy as np
import pytest

from condseg_mmseg.visualization.coco import coco_json, run_lengths


def decode(segmentation: dict) -> np.ndarray:
    """COCO's uncompressed run lengths, as its description says."""
    height, width = segmentation['size']
    values, flat = 0, []
    for length in segmentation['counts']:
        flat += [values] * length
        values = 1 - values
    return np.array(flat, np.uint8).reshape(width, height).T


def labels() -> np.ndarray:
    """A ring of 1, a block of 2 that touches the first pixel, a single 1."""
    mask = np.zeros((11, 17), np.uint8)
    mask[3:9, 4:12] = 1
    mask[5:7, 6:9] = 0
    mask[:2, :3] = 2
    mask[10, 16] = 1
    return mask


def test_run_lengths_go_down_the_columns_and_begin_with_zeros():
    assert run_lengths(np.array([[0, 1], [1, 1], [0, 0]], bool)) == [1, 1, 1, 2, 1]
    assert run_lengths(np.array([[1], [0]], bool)) == [0, 1, 1]
    assert run_lengths(np.zeros((2, 2), bool)) == [4]


def test_every_object_comes_back():
    data = coco_json([('a/x.jpg', labels()), ('y.jpg', labels() * 0)], ['bg', 'p', 'q'], (1, 2))
    data = json.loads(json.dumps(data))
    assert data['images'][0] == dict(id=1, file_name='a/x.jpg', width=17, height=11)
    assert [x['id'] for x in data['annotations']] == [1, 2, 3]
    assert {x['image_id'] for x in data['annotations']} == {1}
    assert [x['bbox'] for x in data['annotations']] == [[4, 3, 8, 6], [16, 10, 1, 1], [0, 0, 3, 2]]
    assert [x['area'] for x in data['annotations']] == [42, 1, 6]
    total = sum(x['category_id'] * decode(x['segmentation']) for x in data['annotations'])
    np.testing.assert_array_equal(total, labels())
    assert [x['name'] for x in data['categories']] == ['p', 'q']


def test_pycocotools_reads_it(tmp_path):
    coco = pytest.importorskip('pycocotools.coco')
    data = coco_json([('x.jpg', labels())], ['bg', 'p', 'q'], (1, 2))
    (tmp_path / 'coco.json').write_text(json.dumps(data))
    read = coco.COCO(tmp_path / 'coco.json')
    assert read.getImgIds(catIds=[2]) == [1]
    total = sum(x['category_id'] * read.annToMask(x) for x in read.loadAnns(read.getAnnIds()))
    np.testing.assert_array_equal(total, labels())
