"""A model that starts from a checkpoint in training needs no such file later."""

import cv2
import numpy as np
import torch
from engine.encoders import assert_equal, from_file, randomize, segmentor
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS

import condseg_mmseg  # noqa: F401 - registers our types


def test_test_and_inference_do_not_need_the_file(tmp_path):
    from mmseg.apis import init_model

    cfg = Config(segmentor(from_file('no/such/file.pth')))
    model = randomize(MODELS.build(cfg.model))
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'stage2.pth')
    cv2.imwrite(str(tmp_path / 'a.jpg'), np.zeros((32, 32, 3), np.uint8))
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((32, 32), np.uint8))
    cfg.test_dataloader = dict(
        batch_size=1,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='BaseSegDataset',
            data_root=str(tmp_path),
            metainfo=dict(classes=('background', 'polyp')),
            pipeline=[
                dict(type=name)
                for name in ('LoadImageFromFile', 'LoadAnnotations', 'PackSegInputs')
            ],
        ),
    )
    cfg.test_cfg, cfg.test_evaluator = dict(type='TestLoop'), dict(type='IoUMetric')
    cfg.load_from, cfg.work_dir = str(tmp_path / 'stage2.pth'), str(tmp_path / 'work')
    cfg.experiment_name = 'strict_pretrained_test'
    runner = Runner.from_cfg(cfg)
    assert 'mIoU' in runner.test()
    assert_equal(runner.model, model)
    loaded = init_model(Config(segmentor(from_file('no/such/file.pth'))), cfg.load_from, 'cpu')
    assert_equal(loaded, model)
