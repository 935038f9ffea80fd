"""BCE + Dice as a registered mmseg loss."""

from mmseg.registry import MODELS
from torch import Tensor, nn

from .functional import IGNORE_INDEX, bce_dice, binary_target, ce_dice


@MODELS.register_module()
class BCEDiceLoss(nn.Module):
    """Mean cross-entropy plus batch Dice (method section "Stage 2").

    ``BCE + 1 - (2 sum(p y) + 1) / (sum p + sum y + 1)``, sums over all valid pixels of the batch;
    with ``use_sigmoid=False`` softmax cross-entropy plus the mean of that Dice loss over classes.

    Args:
        use_sigmoid: One logit map and a sigmoid, or one map a class and a softmax. Default True.
        double_sigmoid: The released code's second sigmoid (preset ``official``). Default False.
        smooth: Of the Dice term. Default 1.
        loss_weight: Factor. Default 1.
        loss_name: Name in the log; must start with 'loss_' to be added to the loss. Default
            'loss_mask'.
        reduce_over_ranks: In training with several processes, whether all sums are those
            over the batches of all of them, so that the gradient is that of one process with the
            whole batch; costs two all-reductions of scalars a step. Default False: each process
            sums over its own batch, and DistributedDataParallel averages the gradients.

    Shapes:
        seg_logits (N, 1 or K, H, W), seg_label (N, H, W); result a scalar.

    Raises:
        ValueError: ``double_sigmoid`` without ``use_sigmoid``, logits of another channel count, or
            soft labels where there is more than one logit map.
    """

    def __init__(
        self,
        use_sigmoid: bool = True,
        double_sigmoid: bool = False,
        smooth: float = 1.0,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_mask',
        reduce_over_ranks: bool = False,
    ) -> None:
        super().__init__()
        if double_sigmoid and not use_sigmoid:
            raise ValueError('double_sigmoid=True needs use_sigmoid=True')
        self.use_sigmoid = use_sigmoid
        self.double_sigmoid = double_sigmoid
        self.smooth = smooth
        self.loss_weight = loss_weight
        self.loss_name = loss_name
        self.reduce_over_ranks = reduce_over_ranks

    def forward(
        self,
        seg_logits: Tensor,
        seg_label: Tensor,
        weight: Tensor | None = None,
        ignore_index: int = IGNORE_INDEX,
        **kwargs: object,
    ) -> Tensor:
        """Compute the loss.

        Args:
            seg_logits: (N, 1, H, W) with ``use_sigmoid``, else (N, K, H, W).
            seg_label: 0/1 (with one logit map also soft, in [0, 1]) or class indices, or
                ``ignore_index``, (N, H, W).
            weight: Weight per pixel, (N, H, W). Default None.
            ignore_index: Label that counts nowhere. Default 255.
            **kwargs: Unused; mmseg's signature.

        Returns:
            Scalar.
        """
        one = seg_logits.shape[1] == 1
        if one != self.use_sigmoid:
            raise ValueError(
                f'BCEDiceLoss(use_sigmoid={self.use_sigmoid}) got logits of '
                f'{seg_logits.shape[1]} channel(s): use_sigmoid=True is for one, False for more'
            )
        if not one and seg_label.is_floating_point():
            raise ValueError(
                f'soft labels ({seg_label.dtype}) need one logit map, got {seg_logits.shape[1]}: '
                'set out_channels=1 of the head and use_sigmoid=True here, or use LoadBinaryMask '
                'and PackSegInputs in place of LoadSoftMask and PackSoftSegInputs'
            )
        if not one:
            form = (ignore_index, weight, self.smooth, self.reduce_over_ranks)
            loss = ce_dice(seg_logits, seg_label, *form)
        else:
            target, valid = binary_target(seg_label, ignore_index, weight)
            loss = bce_dice(
                seg_logits, target, valid, self.double_sigmoid, self.smooth, self.reduce_over_ranks
            )
        return self.loss_weight * loss
