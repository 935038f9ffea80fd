"""The data doctor: near duplicates against a search pair by pair, and copies it must find."""

from itertools import combinations

import cv2
import numpy as np
import pytest

from condseg_mmseg.doctor import duplicates, leakage
from condseg_mmseg.preparation.demo_scene import SceneKnobs, make_scene

SIDE = 32


def thumb(image: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2GRAY)
    return cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def smooth(seed: int, n: int) -> np.ndarray:
    """Small greys of few cells, some of which are alike by chance."""
    rng = np.random.default_rng(seed)
    return np.stack(
        [cv2.resize(rng.integers(0, 256, (4, 4)).astype(np.uint8), (SIDE, SIDE)) for _ in range(n)]
    )


def one_by_one(thumbs: np.ndarray, distance: int, correlation: float) -> dict:
    """The definition: scipy's DCT, a Hamming distance and a correlation for every pair and turn."""
    from scipy.fft import dctn

    def turn(x, k):
        return np.rot90(x[:, ::-1] if k >= 4 else x, k % 4)

    def bits(x):
        low = dctn(x.astype(float), norm='ortho')[:8, :8].ravel()
        return low > np.median(low[1:])

    def detail(x):
        x = x.astype(np.float32)
        return (x - cv2.GaussianBlur(x, (0, 0), 2)).ravel()

    found = {}
    for i, j in combinations(range(len(thumbs)), 2):
        for k in range(8):
            a, b = thumbs[i], np.ascontiguousarray(turn(thumbs[j], k))
            value = np.corrcoef(detail(a), detail(b))[0, 1]
            if (bits(a) != bits(b)).sum() <= distance and value >= correlation:
                found[i, j] = max(found.get((i, j), (0, 0)), (value, k))
    return found


def test_equals_the_search_pair_by_pair():
    thumbs = smooth(0, 30)
    thumbs[20] = np.rot90(thumbs[3])
    thumbs[21] = thumbs[4][:, ::-1]
    thumbs[22] = cv2.convertScaleAbs(thumbs[5], alpha=0.7, beta=9)
    expected = one_by_one(thumbs, 20, 0.5)
    pairs, values, turns = duplicates.near_pairs(thumbs, 20, 0.5, block=7)
    assert len(expected) > 10
    assert {tuple(pair) for pair in pairs.tolist()} == set(expected)
    assert np.allclose(values, [expected[i, j][0] for i, j in pairs], atol=1e-4)
    assert turns.tolist() == [expected[i, j][1] for i, j in pairs]
    assert pairs.tolist() == sorted(pairs.tolist())


@pytest.mark.parametrize('block', [1, 5, 512])
def test_blocks_do_not_matter(block):
    thumbs = smooth(1, 12)
    thumbs[11] = thumbs[0]
    pairs, values, turns = duplicates.near_pairs(thumbs, block=block)
    assert pairs.tolist() == [[0, 11]]
    assert values == pytest.approx([1], abs=1e-5)
    assert turns.tolist() == [0]


@pytest.mark.parametrize('turn', range(8))
def test_a_turned_copy_is_named(turn):
    """``TURNS`` says how the second came from the first, up to the direction."""
    thumbs = smooth(2, 2)
    thumbs[0] = duplicates.turned(thumbs[1:], turn)[0]
    pairs, _, turns = duplicates.near_pairs(thumbs)
    assert (pairs.tolist(), turns.tolist()) == ([[0, 1]], [turn])


def test_nothing_to_compare():
    for n in (0, 1):
        pairs, values, turns = duplicates.near_pairs(np.zeros((n, SIDE, SIDE), np.uint8))
        assert (pairs.shape, len(values), len(turns)) == ((0, 2), 0, 0)
    flat = np.full((3, SIDE, SIDE), 77, np.uint8)
    flat[1, 5, 5] = 80  # noise is no detail
    assert len(duplicates.near_pairs(flat)[0]) == 0


def _copies(image: np.ndarray) -> dict[str, np.ndarray]:
    def jpeg(quality):
        return cv2.imdecode(cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)

    return dict(
        jpeg=jpeg(40), smaller=cv2.resize(image, None, fx=0.5, fy=0.5),
        squeezed=cv2.resize(image, (96, 64)), brighter=cv2.convertScaleAbs(image, alpha=1.2),
        darker=cv2.convertScaleAbs(image, alpha=0.6), blurred=cv2.GaussianBlur(image, (0, 0), 1.5),
        swapped=image[..., ::-1], mirrored=image[:, ::-1],
    )  # fmt: skip


@pytest.fixture(scope='module')
def scenes():
    knobs = SceneKnobs(size=128)
    return [make_scene(knobs, 5, 'train', i).image[..., ::-1].copy() for i in range(12)]


def test_copies_are_found_and_other_scenes_are_not(scenes):
    originals = [thumb(image) for image in scenes]
    assert len(duplicates.near_pairs(np.stack(originals))[0]) == 0
    for name in _copies(scenes[0]):
        copies = [thumb(_copies(image)[name]) for image in scenes]
        pairs, _, _ = duplicates.near_pairs(np.stack(originals + copies))
        across = [pair for pair in pairs.tolist() if pair[0] < 12 <= pair[1]]
        assert across == [[i, i + 12] for i in range(12)], name


def test_agreement_of_masks():
    left, right = np.zeros((2, 4, 4), np.uint8)
    left[:, :2] = 255
    right[:, 1:3] = 255
    assert duplicates.mask_agreement(left, right) == pytest.approx(1 / 3)
    assert duplicates.mask_agreement(left, left // 5) == pytest.approx(1 / 5)
    assert duplicates.mask_agreement(0 * left, 0 * left) == 1
    assert duplicates.mask_agreement(None, left) is None


def test_groups_and_their_weakest_link():
    links = [(1, 2, 0.95, 0), (5, 6, 0.99, 0), (2, 3, 0.91, 0)]
    groups = leakage._groups(links)
    assert sorted(groups) == [([1, 2, 3], 0.91), ([5, 6], 0.99)]


@pytest.mark.parametrize(
    ('first', 'second', 'expected'),
    [
        ('train', 'val', 'leakage'), ('test', 'train', 'leakage'), ('val', 'test', 'overlap'),
        ('train', 'train', 'shared'), ('test', 'test', 'shared'), ('other', 'train', 'overlap'),
        ('other', 'other', 'overlap'),
    ],
)  # fmt: skip
def test_relation(first, second, expected):
    assert leakage.relation(first, second) == expected
