"""The strong view of stage 1: colours and sharpness change, the mask stays valid."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from mmengine.dist import get_rank
from torch import Tensor

from ...utils.draws import Draw, seeded
from ...utils.extras import require


class StrongView:
    """Colour jitter, grayscale by chance, blur, in this order (method section "Stage 1").

    The four colour functions are torchvision's and come in random order. Jitter and blur touch
    every image. kornia makes the view on the device of the images, in float32 and without
    gradients, from numbers drawn on the CPU: the same on any device.

    Where the images come with ``draws``, each view depends on that of its image alone, or on the
    first one's (``same_on_batch``). Else the numbers come from a stream that starts at the first
    call, from ``seed`` and the rank of the process, as mmengine gives every rank the same seed
    unless ``diff_rank_seed`` is set. In both cases another consumer of torch's global generator
    changes nothing here, nor the other way round.

    Args:
        brightness: Factor drawn from 1 +- this. Default 0.3.
        contrast: Factor drawn from 1 +- this. Default 0.3.
        saturation: Factor drawn from 1 +- this. Default 0.3.
        hue: Shift drawn from +- this, in turns of the colour circle, at most 0.5. Default 0.1.
        grayscale_prob: Probability of a grayscale image. Default 0.5.
        blur_kernel: Height and width of the Gaussian kernel in pixels, odd. Default ``(7, 7)``;
            the released code's is 7 high and 1 wide.
        blur_sigma: Range of its standard deviation in pixels. Default ``(0.1, 3.0)``.
        same_on_batch: One draw for the whole batch (released code) instead of one an image.
            Default False.
        seed: Start of the stream, for images without ``draws``. Default None, torch's seed
            (``randomness`` in a config).

    Shapes:
        images (N, 3, H, W) in [0, 1], RGB; the result likewise.

    Raises:
        MissingPackage: An ImportError: kornia is missing.
        ValueError: A range that is none, or an even kernel.
    """

    def __init__(
        self,
        brightness: float = 0.3,
        contrast: float = 0.3,
        saturation: float = 0.3,
        hue: float = 0.1,
        grayscale_prob: float = 0.5,
        blur_kernel: Sequence[int] = (7, 7),
        blur_sigma: Sequence[float] = (0.1, 3.0),
        same_on_batch: bool = False,
        seed: int | None = None,
    ) -> None:
        strengths = {'brightness': brightness, 'contrast': contrast, 'saturation': saturation}
        for name, value in strengths.items():
            if not 0 <= value <= 1:
                raise ValueError(f'{name} must be between 0 and 1, got {value}')
        if not 0 <= hue <= 0.5:
            raise ValueError(f'hue must be between 0 and 0.5 turns, got {hue}')
        if not 0 <= grayscale_prob <= 1:
            raise ValueError(f'grayscale_prob must be between 0 and 1, got {grayscale_prob}')
        kernel, sigma = tuple(blur_kernel), tuple(blur_sigma)
        if len(kernel) != 2 or any(k < 1 or k % 2 == 0 for k in kernel):
            raise ValueError(f'blur_kernel must be an odd height and width, got {blur_kernel}')
        if len(sigma) != 2 or not 0 < sigma[0] <= sigma[1]:
            raise ValueError(f'blur_sigma must be a range of positive pixels, got {blur_sigma}')
        require('kornia.augmentation', 'the strong view of stage 1', 'consistency')
        from kornia.augmentation import ColorJitter, RandomGaussianBlur, RandomGrayscale

        # kept in a plain tuple: as submodules they would follow the network to its device, and
        # draw there other numbers than on the CPU
        self.steps: tuple[Callable[[Tensor], Tensor], ...] = (
            ColorJitter(brightness, contrast, saturation, hue, same_on_batch=same_on_batch, p=1.0),
            RandomGrayscale(p=grayscale_prob, same_on_batch=same_on_batch),
            RandomGaussianBlur(kernel, sigma, same_on_batch=same_on_batch, p=1.0),
        )
        self.min_size = (kernel[0] // 2 + 1, kernel[1] // 2 + 1)  # the border is reflected
        self.same_on_batch = same_on_batch
        self.seed = seed
        self._state: Tensor | None = None  # of the stream, before the next call

    def _first_state(self) -> Tensor:
        seed = torch.initial_seed() if self.seed is None else self.seed
        # mixed, as a sum would give rank 1 of one seed the stream of rank 0 of the next
        mixed = int(np.random.SeedSequence([seed, get_rank()]).generate_state(1, np.uint64)[0])
        return torch.Generator().manual_seed(mixed).get_state()

    @torch.no_grad()
    def __call__(self, images: Tensor, draws: Sequence[Draw] | None = None) -> Tensor:
        """Make the strong view of ``images`` (N, 3, H, W), RGB in [0, 1].

        Args:
            images: The batch.
            draws: Seed, pass over the data and index of each image, as ``SeededDraws`` of our data
                sets leaves them. Default None: the stream.
        """
        with torch.autocast(images.device.type, enabled=False):
            images = images.float()
            if draws is None:
                return self._next_of_stream(images)
            parts = [images] if self.same_on_batch else images.split(1)
            views = []
            for part, draw in zip(parts, draws, strict=False):
                with seeded('strong view', *draw):
                    views.append(self._view(part))
            return torch.cat(views)

    def _next_of_stream(self, images: Tensor) -> Tensor:
        if self._state is None:
            self._state = self._first_state()
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._state)
            x = self._view(images)
            self._state = torch.get_rng_state()
        return x

    def _view(self, x: Tensor) -> Tensor:
        # kornia draws from torch's global generator on the CPU
        jitter, *others = self.steps
        if self.same_on_batch:
            x = jitter(x)
        else:  # one by one: kornia draws factors for each image, but one order for the batch
            x = torch.cat([jitter(image) for image in x.split(1)])
        for step in others:
            x = step(x)
        return x
