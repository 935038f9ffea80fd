"""Objects found and marks that are right, counted by hand."""

import math

import numpy as np
import pytest

from condseg_mmseg.evaluation.extra_scores import ExtraScorer
from condseg_mmseg.evaluation.objects import covered_share


def masks():
    """Truth of three objects, one of two pixels that touch at a corner; four marks."""
    truth, marks = np.zeros((7, 11), bool), np.zeros((7, 11), bool)
    truth[0:2, 0:2] = truth[4, 0] = truth[5, 1] = truth[0:2, 6:10] = True  # 4, 2 and 8 pixels
    marks[0:2, 1:3] = True  # 2 of 4 of the first object, which is half
    marks[0, 6:9] = True  # 3 of 8 of the third one: not found, but itself on it
    marks[6, 10] = marks[3, 5] = True  # on nothing
    return truth, marks


def test_shares_by_hand():
    truth, marks = masks()
    assert covered_share(truth, marks) == pytest.approx(1 / 3)
    assert covered_share(marks, truth) == pytest.approx(2 / 4)


def test_without_an_object_there_is_no_share():
    truth, _ = masks()
    assert math.isnan(covered_share(truth & False, truth))
    assert covered_share(truth, truth & False) == 0


def test_as_extra_metrics():
    truth, marks = masks()
    scorer = ExtraScorer(('object_precision', 'object_recall'))
    valid = np.ones_like(truth)
    columns, _ = scorer.columns([scorer(marks, truth, valid), scorer(truth, truth, valid)])
    assert columns['object_recall'] == pytest.approx([100 / 3, 100])
    assert columns['object_precision'] == pytest.approx([50, 100])
