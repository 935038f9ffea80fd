"""A training whose epochs would hold no iteration stops before it starts."""

from typing import Any

from mmengine.dist import get_world_size
from mmengine.runner import EpochBasedTrainLoop
from mmseg.registry import LOOPS


def no_full_batch(images: int, batch_size: int, processes: int = 1) -> str:
    """Say that an epoch which leaves out its last, smaller batch holds no iteration.

    Args:
        images: Number of training images.
        batch_size: Images of a batch of one process.
        processes: Processes that share the images. Default 1.

    Returns:
        One sentence with what would be right.
    """
    return (
        f'{images} training images make no batch of {batch_size} per process with {processes} '
        f'process{"" if processes == 1 else "es"}, and drop_last=True leaves smaller ones out: an '
        'epoch would have no iteration. Set train_dataloader.batch_size to '
        f'{max(images // processes, 1)} or less'
    )


@LOOPS.register_module()
class NonEmptyEpochTrainLoop(EpochBasedTrainLoop):
    """mmengine's ``EpochBasedTrainLoop`` that refuses data of which no batch can be made.

    mmengine would go through all epochs without a step and save the first weights as the best, or
    fail in a schedule that counts iterations. mmengine builds the loop before the schedules.

    Args:
        *args: As of ``EpochBasedTrainLoop``.
        **kwargs: As of ``EpochBasedTrainLoop``.

    Raises:
        ValueError: The data loader has no batch: with ``drop_last=True``, each process has fewer
            images than a batch.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not len(self.dataloader):
            batch_size = self.dataloader.batch_sampler.batch_size
            images = len(self.dataloader.dataset)
            raise ValueError(no_full_batch(images, batch_size, get_world_size()))
