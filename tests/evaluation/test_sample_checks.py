"""A sample must be compared at the size of the protocol, with a mask of classes."""

import pytest
import torch

from condseg_mmseg.evaluation.sample_checks import check_protocol, check_truth


def shapes(original: tuple, network: tuple, scale: tuple | None = None) -> dict:
    found = dict(ori_shape=original, img_shape=network)
    return found if scale is None else found | dict(scale_factor=scale)


def test_protocol_input_size_refuses_a_prediction_that_was_resized_back() -> None:
    with pytest.raises(ValueError, match=r'a\.jpg: .*Add ScoreAtInputSize'):
        check_protocol('a.jpg', shapes((531, 622), (256, 256)), 'input_size')
    check_protocol('a.jpg', shapes((531, 622), (256, 256)), 'original')


def test_protocol_original_refuses_a_sample_scored_at_input_size() -> None:
    scored = shapes((256, 256), (256, 256), (0.4, 0.5))
    with pytest.raises(ValueError, match=r'a\.jpg: .*Remove ScoreAtInputSize'):
        check_protocol('a.jpg', scored, 'original')
    check_protocol('a.jpg', scored, 'input_size')


@pytest.mark.parametrize('protocol', ['input_size', 'original'])
@pytest.mark.parametrize('scale', [None, (1.0, 1.0)])
def test_images_that_have_the_input_size_fit_both_protocols(protocol: str, scale: tuple) -> None:
    check_protocol('a.jpg', shapes((256, 256), (256, 256), scale), protocol)


@pytest.mark.parametrize('value', [2, 254, -1])
def test_labels_of_a_mask_that_was_not_binarised(value: int) -> None:
    with pytest.raises(ValueError, match=rf'a\.jpg: .*\[{value}\].*LoadBinaryMask missing'):
        check_truth('a.jpg', torch.tensor([[0, 1, 255, value]]), 2, 255)
    check_truth('a.jpg', torch.tensor([[0, 1, 255]]), 2, 255)
