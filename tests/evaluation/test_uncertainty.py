import math

import pytest
import torch

from condseg_mmseg.evaluation.uncertainty import DEFAULT, KINDS, uncertainty


def test_entropy_of_one_channel():
    p = torch.tensor([[[0.0, 0.5, 1.0, 0.25]]])
    quarter = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    expected = torch.tensor([[0.0, 1.0, 0.0, quarter]])
    torch.testing.assert_close(uncertainty('entropy', p), expected)


def test_entropy_of_classes_is_relative_to_equal_ones():
    p = torch.tensor([[1.0, 0.25, 0.5], [0.0, 0.25, 0.5], [0.0, 0.25, 0.0], [0.0, 0.25, 0.0]])
    torch.testing.assert_close(uncertainty('entropy', p[:, None]), torch.tensor([[0.0, 1.0, 0.5]]))


def test_sid():
    first, second = torch.tensor([[1.0, 0.5, 0.2]]), torch.tensor([[0.0, 0.5, 0.9]])
    torch.testing.assert_close(uncertainty('sid', first, second), torch.tensor([[0.0, 1.0, 0.3]]))


def test_kinds():
    assert DEFAULT in KINDS
    for kind in ('sid', 'other'):
        with pytest.raises(ValueError, match='sid with two maps'):
            uncertainty(kind, torch.ones(1, 2, 2))
