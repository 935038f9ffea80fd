"""What mmseg's scripts are given where the processes of PyTorch's launcher share a CPU."""

import pytest

from condseg_mmseg.utils import cpu_processes
from condseg_mmseg.utils.cpu_processes import join_cpu_processes


@pytest.mark.parametrize(
    ('config', 'options'),
    [
        (
            'find_unused_parameters = True',
            dict(
                type='MMDistributedDataParallel', find_unused_parameters=True,
                broadcast_buffers=False, device_ids=None,
            ),
        ),
        ("model_wrapper_cfg = dict(type='Own')", dict(device_ids=None)),
    ],
)  # fmt: skip
def test_processes_without_a_gpu_join_by_gloo(monkeypatch, tmp_path, config, options):
    backends = []
    monkeypatch.setattr('torch.distributed.init_process_group', backends.append)
    monkeypatch.setattr(cpu_processes, 'get_device', lambda: 'cpu')
    path = tmp_path / 'config.py'
    path.write_text(config)
    given = ['--work-dir', 'w', str(path), 'a.pth', '--launcher', 'pytorch', '--tta']
    first, *found = join_cpu_processes(given)
    assert first == '--cfg-options'
    assert set(found) == {f'model_wrapper_cfg.{key}={value}' for key, value in options.items()}
    assert backends == ['gloo']
    for other in ([str(path)], [str(path), '--launcher', 'slurm'], ['--launcher', 'pytorch']):
        assert join_cpu_processes(other) == []
    monkeypatch.setattr(cpu_processes, 'get_device', lambda: 'cuda')
    assert join_cpu_processes(given) == []
    assert backends == ['gloo']
