"""One of two processes of test_consistency_ddp.py: RANK STORE OUT."""

import sys

import torch
import torch.distributed as dist
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch.nn.parallel import DistributedDataParallel

import condseg_mmseg  # noqa: F401


def build():
    init_default_scope('mmseg')
    return MODELS.build(
        dict(
            type='ConsistencyReinforcement',
            data_preprocessor=dict(type='TwoViewSegDataPreProcessor', size=(32, 32)),
            backbone=dict(type='StemResNet', depth=18, stem_channels=8, base_channels=8),
            decode_head=dict(type='EncoderFusionHead', in_channels=[8, 8, 16, 32], channels=8),
        )
    )


def batch():
    return {
        'inputs': [torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8) for _ in range(2)],
        'data_samples': [
            SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 2, (1, 32, 32))))
            for _ in range(2)
        ],
    }


def gradients(model, data):
    model.zero_grad()
    losses = model(**data, mode='loss')
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def main():
    rank, store, out = int(sys.argv[1]), *sys.argv[2:]
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{store}', rank=rank, world_size=2)
    set_random_seed(0)  # one seed for every rank, as mmengine's runner does by default
    model = build().train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    data = model.data_preprocessor(batch(), True)
    # refuses a second forward pass if a parameter got no gradient in the first
    parallel = DistributedDataParallel(model, find_unused_parameters=False)
    first = gradients(parallel, data)
    second = gradients(parallel, data)
    strip = len('module.')
    steps = [{name[strip:]: grad for name, grad in step.items()} for step in (first, second)]
    torch.save({'state': state, 'data': data, 'gradients': steps}, f'{out}/{rank}.pth')
    dist.destroy_process_group()


if __name__ == '__main__':
    main()
