"""Agreement of two views of an image as a registered loss."""

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from .functional import IGNORE_INDEX, binary_target, consistency


@MODELS.register_module()
class ConsistencyLoss(nn.Module):
    """Make the predictions for two views of an image agree (method section "Stage 1").

    ``w * [BCE(M1, 1[M2 > t]) + BCE(M2, 1[M1 > t])]``, means over the valid pixels of the batch.
    Each thresholded mask is a constant to the gradient. There is one sigmoid always, also where
    ``BCEDiceLoss`` applies a second (released code).

    Args:
        threshold: t, on the probability. Default 0.5.
        loss_weight: w. Default 0.5 (paper); the released code has 1.
        loss_name: Name in the log; must start with 'loss_' to be added to the loss. Default
            'loss_consistency'.
        reduce_over_ranks: In training with several processes, whether both means are those
            over the batches of all of them, so that the gradient is that of one process with the
            whole batch; costs two all-reductions of scalars a step. Default False: each process
            sums over its own batch, and DistributedDataParallel averages the gradients.

    Shapes:
        logits of both views (N, 1, H, W), label (N, H, W); result a scalar.

    Raises:
        ValueError: ``threshold`` outside (0, 1), or logits of other shapes.
    """

    def __init__(
        self,
        threshold: float = 0.5,
        loss_weight: float = 0.5,
        loss_name: str = 'loss_consistency',
        reduce_over_ranks: bool = False,
    ) -> None:
        super().__init__()
        if not 0 < threshold < 1:
            raise ValueError(f'threshold is on a probability, between 0 and 1, got {threshold}')
        self.threshold = threshold
        self.loss_weight = loss_weight
        self.loss_name = loss_name
        self.reduce_over_ranks = reduce_over_ranks

    def forward(
        self,
        seg_logits: Tensor,
        strong_logits: Tensor,
        seg_label: Tensor | None = None,
        ignore_index: int = IGNORE_INDEX,
    ) -> Tensor:
        """Compute the loss.

        Args:
            seg_logits: Of the clean view, (N, 1, H, W).
            strong_logits: Of the strong view, (N, 1, H, W).
            seg_label: Read only for its ``ignore_index``, (N, H, W). Default None: every pixel
                counts.
            ignore_index: Label that counts nowhere. Default 255.

        Returns:
            Scalar.
        """
        if seg_logits.shape != strong_logits.shape or seg_logits.shape[1] != 1:
            raise ValueError(
                'ConsistencyLoss compares two logit maps of shape (N, 1, H, W), got '
                f'{tuple(seg_logits.shape)} and {tuple(strong_logits.shape)}'
            )
        if seg_label is None:
            valid = torch.ones_like(seg_logits, dtype=torch.float32)
        else:
            _, valid = binary_target(seg_label, ignore_index)
        return self.loss_weight * consistency(
            seg_logits, strong_logits, valid, self.threshold, self.reduce_over_ranks
        )
