"""Stage 1 in two processes: one gradient, two strong views, no parameter without use."""

import subprocess
import sys

import pytest
import torch
from helpers import ROOT, load_script

WORKER = 'tests/models/segmentors/two_view_worker.py'


@pytest.fixture(scope='module')
def ranks(tmp_path_factory):
    pytest.importorskip('kornia', reason='needs the extra "consistency"')
    folder = tmp_path_factory.mktemp('ddp')
    processes = [
        subprocess.Popen(
            [sys.executable, WORKER, str(rank), str(folder / 'store'), str(folder)],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    return [torch.load(folder / f'{rank}.pth', weights_only=False) for rank in range(2)]


@pytest.mark.slow
def test_ranks_of_one_seed_see_the_same_images_and_other_strong_views(ranks):
    one, two = (rank['data'] for rank in ranks)
    assert torch.equal(one['inputs'], two['inputs'])
    assert ((one['strong_inputs'] - two['strong_inputs']).abs().amax((1, 2, 3)) > 1).all()


@pytest.mark.slow
def test_gradients_agree_and_are_the_mean_over_the_ranks(ranks, request):
    for one, two in zip(ranks[0]['gradients'], ranks[1]['gradients'], strict=True):
        for name in one:
            assert torch.equal(one[name], two[name]), name
    worker = load_script(WORKER)
    alone = []
    torch.set_num_threads(1)  # as the ranks: sums over several threads round otherwise
    request.addfinalizer(lambda: torch.set_num_threads(2))
    for rank in ranks:
        model = worker.build().train()
        model.load_state_dict(rank['state'])
        alone.append(worker.gradients(model, rank['data']))
    for name, gradient in ranks[0]['gradients'][0].items():
        mean = (alone[0][name] + alone[1][name]) / 2
        torch.testing.assert_close(gradient, mean, rtol=1e-4, atol=1e-6)
        assert not torch.allclose(alone[0][name], alone[1][name], rtol=1e-4, atol=1e-6), name
