"""One of two processes of test_whole_batch.py: RANK STORE OUT CONFIG."""

import sys

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import condseg_mmseg  # noqa: F401

GROUPS = dict(type='GN', num_groups=4)


def build(name):
    init_default_scope('mmseg')
    torch.manual_seed(0)
    cfg = Config.fromfile(name).model
    cfg.data_preprocessor.size = (32, 32)
    reduced = dict(reduce_over_ranks=True)
    parts = [cfg.get(k) for k in ('backbone', 'neck', 'decode_head', 'auxiliary_head')]
    for part in filter(None, parts):
        part.norm_cfg = GROUPS
    cfg.decode_head.dropout_ratio = 0
    cfg.decode_head.loss_decode = dict(type='BCEDiceLoss', **reduced)
    if cfg.get('auxiliary_head'):
        cfg.auxiliary_head.loss_decode = dict(type='SIDLoss', **reduced)
    if cfg.type == 'ConsistencyReinforcement':
        cfg.loss_consistency = dict(type='ConsistencyLoss', **reduced)
    return MODELS.build(cfg).double().train()


def batch(two_views):
    """Four images; some pixels of the first are ignored, so that ranks count other numbers."""
    torch.manual_seed(1)
    labels = torch.randint(0, 2, (4, 1, 32, 32))
    labels[0, :, :20] = 255
    data = dict(
        inputs=torch.randn(4, 3, 32, 32).double(),
        data_samples=[SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels],
    )
    if two_views:
        data['strong_inputs'] = data['inputs'] + 0.5 * torch.randn(4, 3, 32, 32).double()
    return data


def gradients(model, data):
    model.zero_grad()
    losses = model(**data, mode='loss')
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    return {name.removeprefix('module.'): p.grad.clone() for name, p in model.named_parameters()}


def main():
    rank, store, out, name = int(sys.argv[1]), *sys.argv[2:]
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{store}', rank=rank, world_size=2)
    model = build(name)
    data = {k: v[rank::2] for k, v in batch(hasattr(model, 'loss_consistency')).items()}
    parallel = MMDistributedDataParallel(model, device_ids=None, broadcast_buffers=False)
    torch.save(gradients(parallel, data), f'{out}/{rank}.pth')
    dist.barrier()
    dist.destroy_process_group()


if __name__ == '__main__':
    main()
