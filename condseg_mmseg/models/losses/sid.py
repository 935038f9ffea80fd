"""Loss of the SID auxiliary head."""

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from .functional import IGNORE_INDEX, area_weight, bce_dice, binary_target, complementary


@MODELS.register_module()
class SIDLoss(nn.Module):
    """Supervise foreground and background maps and keep all three apart (method "Stage 2").

    ``b1 * BCE-Dice(FG, Y) + b2 * BCE-Dice(BG, 1 - Y) + mean(FG*BG + FG*UC + BG*UC)`` with
    ``b = 1 / tanh(area)``. The defaults are ours; the released code is
    ``double_sigmoid=True, comp_softmax=True, detach_beta=False, max_beta=None`` and the paper's
    area ratio ``area='mean'``. With ``area='sum'`` the betas depend on the batch size, by default
    on that of each process (``reduce_over_ranks``).

    Args:
        double_sigmoid: A second sigmoid in the two BCE-Dice terms. Default False.
        comp_softmax: A softmax over the three probabilities before their overlap. Default False.
        area: 'sum' or 'mean' over the batch of each image's predicted share. Default 'sum'.
        detach_beta: Whether the betas carry no gradient. Default True.
        max_beta: Upper bound of the betas, > 1. Default 10; None: no bound but that of an area of
            1e-6, 1e6, which an empty prediction reaches.
        smooth: Of the Dice terms. Default 1.
        loss_weight: Factor on all three terms. Default 1.
        reduce_over_ranks: In training with several processes, whether all sums, the areas of the
            betas among them, are those over the batches of all of them, so that the gradient is
            that of one process with the whole batch; costs seven all-reductions of scalars a step.
            Default False: each process sums over its own batch, and DistributedDataParallel
            averages the gradients.

    Shapes:
        logits fg, bg, uc (N, 1, H, W), label (N, H, W); results scalars.

    Raises:
        ValueError: ``area`` or ``max_beta`` outside what is said above.
    """

    def __init__(
        self,
        double_sigmoid: bool = False,
        comp_softmax: bool = False,
        area: str = 'sum',
        detach_beta: bool = True,
        max_beta: float | None = 10.0,
        smooth: float = 1.0,
        loss_weight: float = 1.0,
        reduce_over_ranks: bool = False,
    ) -> None:
        super().__init__()
        if area not in ('sum', 'mean'):
            raise ValueError(f"area must be 'sum' or 'mean', got {area!r}")
        if max_beta is not None and not max_beta > 1:
            raise ValueError(
                f'max_beta must be > 1 (1 / tanh never is less) or None, got {max_beta}'
            )
        self.double_sigmoid = double_sigmoid
        self.comp_softmax = comp_softmax
        self.area = area
        self.detach_beta = detach_beta
        self.max_beta = max_beta
        self.smooth = smooth
        self.loss_weight = loss_weight
        self.reduce_over_ranks = reduce_over_ranks

    def forward(
        self,
        fg: Tensor,
        bg: Tensor,
        uc: Tensor,
        label: Tensor,
        background: Tensor | None = None,
        ignore_index: int = IGNORE_INDEX,
    ) -> dict[str, Tensor]:
        """Compute the terms.

        Args:
            fg: Foreground logits, (N, 1, H, W).
            bg: Background logits, (N, 1, H, W).
            uc: Uncertainty logits, (N, 1, H, W).
            label: 1, 0 or ``ignore_index``, (N, H, W).
            background: Target of bg, 1, 0 or ``ignore_index``, (N, H, W); pixels ignored in
                ``label`` are ignored here too. Default None, 1 - label.
            ignore_index: Label that counts nowhere. Default 255.

        Returns:
            ``loss_fg``, ``loss_bg``, ``loss_comp`` (weighted, to be summed) and the detached
            ``beta_fg``, ``beta_bg``.
        """
        target, valid = binary_target(label, ignore_index)
        fg, bg, uc = (x.to(torch.promote_types(x.dtype, torch.float32)) for x in (fg, bg, uc))
        p_fg, p_bg, p_uc = fg.sigmoid(), bg.sigmoid(), uc.sigmoid()
        policy = (self.area, self.detach_beta, self.max_beta, self.reduce_over_ranks)
        beta_fg, beta_bg = area_weight(p_fg, valid, *policy), area_weight(p_bg, valid, *policy)
        form = (self.double_sigmoid, self.smooth, self.reduce_over_ranks)
        loss_fg = beta_fg * bce_dice(fg, target, valid, *form)
        opposite, counted = 1 - target, valid
        if background is not None:
            opposite, known = binary_target(background, ignore_index)
            counted = valid * known
        loss_bg = beta_bg * bce_dice(bg, opposite, counted, *form)
        last = (self.comp_softmax, self.reduce_over_ranks)
        loss_comp = complementary(p_fg, p_bg, p_uc, valid, *last)
        return {
            'loss_fg': self.loss_weight * loss_fg,
            'loss_bg': self.loss_weight * loss_bg,
            'loss_comp': self.loss_weight * loss_comp,
            'beta_fg': beta_fg.detach(),
            'beta_bg': beta_bg.detach(),
        }
