"""Masks of the input size are drawn on images of their own size."""

import numpy as np
import torch
from mmengine.structures import PixelData
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample


def test_masks_are_drawn_at_the_size_of_the_image(tmp_path):
    import cv2

    visualizer = VISUALIZERS.build(
        dict(
            type='InputSizeSegLocalVisualizer',
            name='test_input_size_visualizer',
            alpha=1.0,
            vis_backends=[],
        )
    )
    visualizer.dataset_meta = {
        'classes': ('background', 'foreground'),
        'palette': [[0, 0, 0], [255, 0, 0]],
    }
    truth, prediction = torch.zeros(2, 1, 4, 4, dtype=torch.long)
    truth[0, :2] = 1  # upper half
    prediction[0, :, :1] = 1  # left quarter
    sample = SegDataSample(
        gt_sem_seg=PixelData(data=truth), pred_sem_seg=PixelData(data=prediction)
    )
    out = tmp_path / 'drawn.png'
    image = np.full((40, 80, 3), 50, np.uint8)
    visualizer.add_datasample('x', image, sample, out_file=str(out), with_labels=False)
    drawn = cv2.imread(str(out))[..., 2] > 200
    assert drawn.shape == (40, 160)  # truth beside prediction
    expected = np.zeros((40, 160), bool)
    expected[:20, :80] = True
    expected[:, 80:100] = True
    assert np.array_equal(drawn, expected)
    assert sample.gt_sem_seg.data.shape == (1, 4, 4)
