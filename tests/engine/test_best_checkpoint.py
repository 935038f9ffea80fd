"""Of several best checkpoints the best one is taken."""

import torch

from condseg_mmseg.engine.best_checkpoint import best_checkpoint


def _checkpoint(path, epoch, best=None, score=0.5):
    info = dict(keep_ckpt_ids=[epoch])
    if best:
        info |= dict(best_score=score, best_ckpt=f'/elsewhere/{best}')
    hub = dict(runtime_info=info, log_scalars={})
    torch.save(dict(meta=dict(epoch=epoch, iter=4 * epoch), message_hub=hub), path)


def test_of_two_best_ones_the_better_is_taken(tmp_path):
    for epoch, score in ((1, 80.0), (2, 60.0)):
        path = tmp_path / f'best_image_mIoU_epoch_{epoch}.pth'
        _checkpoint(path, epoch, path.name, score)
    assert best_checkpoint(tmp_path).name == 'best_image_mIoU_epoch_1.pth'
    for epoch, score in ((3, 0.8), (4, 0.6), (5, 0.9)):
        path = tmp_path / f'best_val_loss_epoch_{epoch}.pth'
        _checkpoint(path, epoch, path.name, score)
    assert best_checkpoint(tmp_path).name == 'best_val_loss_epoch_4.pth'  # the metric saved last
