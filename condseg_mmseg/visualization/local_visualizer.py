"""mmseg's visualizer for masks of another size than the image."""

from typing import Any

import numpy as np
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer


@VISUALIZERS.register_module()
class InputSizeSegLocalVisualizer(SegLocalVisualizer):
    """Draw masks on the image file whatever size they were scored at.

    mmseg draws on the file's own pixels and fails where prediction and truth have the network's
    input size, as under ``ScoreAtInputSize``. Here they are brought to the image's size first
    (nearest), on a copy: the sample that is scored stays as it is.

    Args:
        *args: Arguments of mmseg's ``SegLocalVisualizer``.
        **kwargs: Arguments of mmseg's ``SegLocalVisualizer``.
    """

    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: SegDataSample | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Draw ``data_sample`` on ``image``; see mmseg for the further arguments.

        Args:
            name: Identifier of the picture.
            image: RGB image, (H, W, 3) uint8.
            data_sample: With ``gt_sem_seg`` and/or ``pred_sem_seg``, (1, h, w). Default None.
            *args: Further arguments of mmseg's method.
            **kwargs: Further arguments of mmseg's method.
        """
        if data_sample is not None:
            size = image.shape[:2]
            drawn = SegDataSample(metainfo=data_sample.metainfo)
            for key in ('gt_sem_seg', 'pred_sem_seg'):
                if key in data_sample:
                    drawn.set_data({key: _at_size(data_sample.get(key), size)})
            data_sample = drawn
        super().add_datasample(name, image, data_sample, *args, **kwargs)


def _at_size(mask: PixelData, size: tuple[int, int]) -> PixelData:
    data = mask.data
    if tuple(data.shape[-2:]) != tuple(size):
        resized = F.interpolate(data[None].float(), size=size, mode='nearest-exact')
        data = resized[0].to(data.dtype)
    return PixelData(data=data)
