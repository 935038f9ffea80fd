"""ExtraScorer alone: options, missing packages, and what it leaves to the table of all images."""

import sys

import numpy as np
import pytest
from helpers import ROOT

from condseg_mmseg.evaluation import PerImageBinaryMetric
from condseg_mmseg.evaluation.extra_scores import EXTRA_SCORES, ExtraScorer
from condseg_mmseg.evaluation.functional import SCORES
from condseg_mmseg.evaluation.surface import surface_dice

PRED, TARGET = np.zeros((2, 9, 9), bool)
PRED[2:5, 2:6] = TARGET[2:6, 2:5] = True
VALID = np.ones((9, 9), bool)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(extra_metrics=('e_measure',)), r"different names of .*got \('e_measure',\)"),
        (dict(extra_metrics=('mae', 'mae')), 'different names'),
        (dict(map_norm='max'), "map_norm must be one of .*got 'max'"),
        (dict(surface_tolerance=-1), 'surface_tolerance must be 0 pixels or more, got -1'),
        (dict(surface_tolerance=float('nan')), 'surface_tolerance must be'),
    ],
)
def test_wrong_options_of_the_metric(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PerImageBinaryMetric(**options)


@pytest.mark.parametrize(
    ('module', 'name'), [('monai.metrics', 'hd95'), ('scipy.ndimage', 'weighted_f')]
)
def test_a_missing_package_is_said_at_construction(
    module: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module.split('.')[0], None)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"'{name}'.*pip install \"condseg-mmseg\[metrics\]\""):
        ExtraScorer((name,))
    others = set(EXTRA_SCORES) - {'hd95', 'surface_dice', 'weighted_f'}
    ExtraScorer(tuple(others))


def test_values_stand_in_the_order_of_the_names() -> None:
    scorer = ExtraScorer(('surface_dice', 'mae'), surface_tolerance=0)
    assert scorer.names == ('mae', 'surface_dice')
    values, curve = scorer(PRED, TARGET, VALID, 0.25 * np.ones((9, 9)))
    assert values == (
        pytest.approx((69 * 0.25 + 12 * 0.75) / 81),
        pytest.approx(surface_dice(PRED, TARGET, 0)),
    )
    assert curve is None


def test_columns_are_percent_and_pixels() -> None:
    scorer = ExtraScorer(('mae', 'hd95'))
    columns, best = scorer.columns([((0.25, 3.0), None), ((0.5, np.nan), None)])
    assert columns['mae'].tolist() == [25, 50]
    assert columns['hd95'][0] == 3
    assert np.isnan(columns['hd95'][1])
    assert best is None


def test_the_threshold_is_chosen_over_all_images() -> None:
    curves = np.zeros((2, 256), np.float32)
    curves[0, [10, 20]] = 0.5, 0.25
    curves[1, [20, 30]] = 0.5, 0.5625
    scorer = ExtraScorer(('e_measure_max',))
    columns, best = scorer.columns([((np.nan,), curve) for curve in curves])
    assert best == 20
    assert columns['e_measure_max'].tolist() == [25, 50]


def test_missing_probabilities() -> None:
    with pytest.raises(ValueError, match='s_measure, mae need probabilities'):
        ExtraScorer(('mae', 's_measure', 'hd95'))(PRED, TARGET, VALID)


def test_the_documentation_names_every_score() -> None:
    lines = (ROOT / 'docs' / 'scores.md').read_text().splitlines()
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in lines]
    rows = [row for row in rows if len(row) == 5 and row[3] in ('higher', 'lower')]
    documented = {}
    for names, keys, source, better, _ in rows:
        for name, key in zip(names.split(', '), keys.split(', '), strict=True):
            documented[name.strip('`')] = key.strip('`'), source == 'p', better == 'higher'
    assert list(documented) == [*SCORES, *EXTRA_SCORES]
    for name, score in EXTRA_SCORES.items():
        assert documented[name] == (score.key, score.needs_map, score.higher_is_better)
