"""Base of decode heads that are supervised at more than one place."""

from abc import abstractmethod
from collections.abc import Sequence

from mmseg.utils import ConfigType, SampleList
from torch import Tensor

from .multi_level_head import MultiLevelDecodeHead


class SideLossDecodeHead(MultiLevelDecodeHead):
    """Decode several levels into one map of logits and, in training, side maps.

    Every map is resized to the label and gets the losses of ``loss_decode`` with weight 1. The last
    one is the prediction: its losses keep their names, those of side map i end in ``_side{i}``, and
    figures that are no loss (``dice``) are logged of the prediction only. Prediction computes what
    ``all_logits`` needs for the last map, side maps included where they are on the way.

    A subclass gives :meth:`all_logits`. Arguments are those of :class:`MultiLevelDecodeHead`.

    Raises:
        ValueError: In ``forward`` and ``loss``, levels whose number or channels are not those of
            ``in_channels``.
    """

    @abstractmethod
    def all_logits(self, levels: list[Tensor]) -> list[Tensor]:
        """Decode the levels, finest first, into side maps and, last, the prediction.

        Args:
            levels: (N, in_channels[i], H_i, W_i).

        Returns:
            Logits (N, out_channels, h, w), of any size.
        """

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Decode the levels (picked by ``in_index``) into the logits of the prediction."""
        return self.all_logits(self._levels(inputs))[-1]

    def loss(
        self, inputs: Sequence[Tensor], batch_data_samples: SampleList, train_cfg: ConfigType
    ) -> dict[str, Tensor]:
        """Compute the losses of the prediction and of the side maps.

        Args:
            inputs: Levels, (N, in_channels[i], H_i, W_i).
            batch_data_samples: Samples with ``gt_sem_seg`` (1, H, W).
            train_cfg: Unused; mmseg's signature.

        Returns:
            Name -> loss (scalar), plus detached figures whose name does not contain 'loss'.
        """
        *sides, last = self.all_logits(self._levels(inputs))
        losses = self.loss_by_feat(last, batch_data_samples)
        for i, logits in enumerate(sides):
            for name, value in self.loss_by_feat(logits, batch_data_samples).items():
                if 'loss' in name:
                    losses[f'{name}_side{i}'] = value
        return losses

    def _levels(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        levels = self._transform_inputs(inputs)
        channels = [x.shape[1] for x in levels]
        if channels != list(self.in_channels):
            raise ValueError(
                f'{type(self).__name__} reads levels of in_channels={list(self.in_channels)}, '
                f'in_index={list(self.in_index)}, and got {channels}'
            )
        return levels
