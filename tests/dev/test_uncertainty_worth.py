"""What maps of uncertainty are worth: scores by hand, and the page against the committed file."""

import json

import numpy as np
import pytest
import results
import uncertainty_worth
from helpers import ROOT

from condseg_mmseg.evaluation.uncertainty import DEFAULT

FOLDER = ROOT / 'docs' / 'results' / 'uncertainty'


def test_scores_by_hand():
    wrong = np.array([True, False, True, False])
    found = uncertainty_worth.scores(
        wrong, {'perfect': wrong * 1.0, 'one pair wrong': np.array([4, 3, 2, 1]), 'flat': 0 * wrong}
    )
    assert found['perfect'] == {'auc': 1.0, 'average_precision': 1.0}
    # three of four pairs are in order; precision is 1 at the first hit and 2/3 at the second
    expected = {'auc': 0.75, 'average_precision': 0.8333}
    assert found['one pair wrong'] == pytest.approx(expected, abs=1e-4)
    assert found['flat'] == {'auc': 0.5, 'average_precision': 0.5}


def test_the_page_and_the_default_are_those_of_the_file():
    page = (FOLDER / 'README.md').read_text()
    assert f'<!-- results -->\n{results.uncertainty()}\n<!-- /results -->' in page
    sets = json.loads((FOLDER / 'condseg_lite0_polyp.json').read_text())['sets']
    assert f'{sets["val"]["maps"]["entropy"]["auc"]:.3f}' in page
    for found in sets.values():
        best = max(found['maps'], key=lambda name: found['maps'][name]['auc'])
        assert best == DEFAULT
