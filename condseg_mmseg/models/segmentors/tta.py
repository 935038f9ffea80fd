"""Test-time augmentation that is right for one-channel heads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from .prediction import predicting_head


@MODELS.register_module()
class BinarySegTTAModel(BaseTTAModel):
    r"""Average the probabilities of augmented views of an image.

    mmseg's ``SegTTAModel`` applies the sigmoid a second time for heads with one channel, because
    the ``seg_logits`` of their predictions are probabilities already: at threshold 0.5 every
    pixel becomes foreground. This model averages them as they are and cuts at the threshold of
    the decode head, of the last one in a cascade. For softmax heads it labels as ``SegTTAModel``
    does. ::

        view 1 --> module --> flipped back --> p1 --\
        view 2 --> module --> flipped back --> p2 ---+--> mean --> > threshold | argmax
        ...                                         /

    The result carries the mean: for one channel the probability, for softmax heads its logarithm
    (logits whose softmax is the mean), in ``seg_logits`` of shape (C, H, W); the labels in
    ``pred_sem_seg`` of shape (1, H, W).

    Args:
        module: The segmentor, or its config.
        data_preprocessor: As in mmengine. Default None: that of the segmentor.
    """

    def merge_preds(
        self, data_samples_list: Sequence[Sequence[SegDataSample]]
    ) -> list[SegDataSample]:
        """Merge the predictions of the views of each image.

        Args:
            data_samples_list: For every image of the batch the predictions of its views.

        Returns:
            list[SegDataSample]: One per image: the first view's sample (its meta information and
            truth) with the merged prediction.

        Raises:
            ValueError: If the views of an image were predicted at different sizes.
        """
        return [self._merge(views) for views in data_samples_list]

    def _merge(self, views: Sequence[SegDataSample]) -> SegDataSample:
        shapes = [tuple(view.seg_logits.data.shape) for view in views]
        if len(set(shapes)) > 1:
            raise ValueError(
                f'{views[0].get("img_path")}: the views are predicted at different sizes, '
                f'{shapes}. With ScoreAtInputSize only views of one size can be merged'
            )
        total = torch.zeros_like(views[0].seg_logits.data)
        one_channel = self.module.out_channels == 1
        for view in views:
            scores = view.seg_logits.data
            total += scores if one_channel else scores.softmax(dim=0)
        mean = total / len(views)
        if one_channel:
            labels = (mean > predicting_head(self.module).threshold).to(mean)
        else:
            labels = mean.argmax(dim=0, keepdim=True)
            mean = mean.clamp_min(torch.finfo(mean.dtype).tiny).log()
        merged = views[0]
        merged.set_data(dict(seg_logits=PixelData(data=mean), pred_sem_seg=PixelData(data=labels)))
        return merged
