"""Weights from an address in two processes: both get them, or both say why not."""

import os
import socket
import subprocess
import sys

import pytest
import torch
from helpers import ROOT

SECONDS = 60
WORKER = """
import sys
from datetime import timedelta

import torch.distributed as dist

from condseg_mmseg.engine.strict_pretrained import StrictPretrained

rank, store, address, *names = sys.argv[1:]
dist.init_process_group(
    'gloo', init_method=f'file://{store}', rank=int(rank), world_size=2,
    timeout=timedelta(seconds=20),
)
for name in names:
    try:
        print(name, StrictPretrained(f'{address}/{name}.pth')._load()[1]['x'].item())
    except ValueError as error:
        print(name, error)
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_what_fails_on_one_rank_fails_on_both(tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as server:
        address = f'http://127.0.0.1:{server.getsockname()[1]}'  # closed when it is asked
    cached = dict(none=(), both=(0, 1), first=(0,), second=(1,))
    processes = []
    for rank in (0, 1):
        folder = tmp_path / str(rank) / 'hub' / 'checkpoints'
        folder.mkdir(parents=True)
        for name, ranks in cached.items():
            if rank in ranks:
                torch.save({'x': torch.tensor(7.0)}, folder / f'{name}.pth')
        command = [sys.executable, '-c', WORKER, str(rank), str(tmp_path / 'store'), address]
        env = dict(os.environ, TORCH_HOME=str(tmp_path / str(rank)), no_proxy='*')
        processes.append(
            subprocess.Popen(
                [*command, *cached], cwd=ROOT, env=env, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
        )  # fmt: skip
    try:
        answers = [process.communicate(timeout=SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], answers
    told = [
        [line for line in out.splitlines() if line.startswith(tuple(cached))] for out, _ in answers
    ]
    assert told[0] == told[1]
    lines = dict(line.split(' ', 1) for line in told[0])
    assert lines.pop('both') == '7.0'
    assert lines.keys() == {'none', 'first', 'second'}
    for name, line in lines.items():
        assert line.startswith(f'{address}/{name}.pth cannot be loaded: URLError: ')
        assert 'Connection refused' in line
