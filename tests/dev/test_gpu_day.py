"""The day on a GPU, with a program in place of Python: its steps, and what is not repeated."""

import os
import subprocess

import benchmark
import pytest
from helpers import ROOT

from condseg_mmseg.cli import make_parser

SCRIPT = ROOT / 'tools' / 'dev' / 'gpu_day.sh'
# notes the TF32 variables and its arguments, and leaves what a step needs of the one before
PYTHON = """#!/bin/bash
here=$(dirname "$0")
echo "${NVIDIA_TF32_OVERRIDE:-} ${TORCH_ALLOW_TF32_CUBLAS_OVERRIDE:-}" "$@" >> "$here/calls"
[ "$3" != "$(cat "$here/failing")" ] || { echo "it broke"; exit 1; }
if [ "$3" = train ]; then
  while [ "$1" != --work-dir ]; do shift; done
  mkdir -p "$2/stage2"
  echo last.pth > "$2/stage2/last_checkpoint"
  printf '{\\n "name": "%s",\\n "a": 1\\n}\\n' "$(hostname)" > "$2/two_stages.json"
fi
"""


@pytest.fixture
def start(tmp_path):
    """Starts the script, and returns its status and what Python was started with."""
    python = tmp_path / 'python'
    python.write_text(PYTHON)
    python.chmod(0o755)
    (tmp_path / 'weights.pth').touch()

    def run(*options, failing=''):
        (tmp_path / 'failing').write_text(failing)
        (tmp_path / 'calls').write_text('')
        env = os.environ | {'PYTHON': str(python), 'DATA': 'd'}
        done = subprocess.run(
            [SCRIPT, *options], cwd=tmp_path, env=env, capture_output=True, text=True
        )
        calls = (tmp_path / 'calls').read_text().splitlines()
        return done, [line.split(' ', 2) for line in calls]

    return run


@pytest.mark.parametrize('small', [['--try'], []])
def test_every_step_has_options_that_its_command_takes(start, small, tmp_path):
    done, calls = start('out', *small)
    assert done.returncode == 0, done.stderr
    kinds = []
    for off, on, line in calls:
        words = line.split()
        if words[0] == 'tools/dev/benchmark.py':
            args = benchmark.make_parser().parse_args(words[1:])
            kinds.append((args.name, 'off' if off == '0' else 'on' if on == '1' else ''))
            assert args.device == ('cpu' if small else 'cuda')
        elif words[1] == 'condseg_mmseg':
            args = make_parser().parse_args(words[2:])
            kinds.append((words[2], ''))
    both = [(kind, tf32) for tf32 in ('off', 'on') for kind in ('op', 'model', 'train')]
    scores = [('evaluate', '')] * 2
    assert kinds == [*both, ('op', 'off'), ('train', ''), *scores]
    assert 'tests/models/test_on_a_gpu.py' in calls[0][2]
    assert (tmp_path / 'out/train_lite2.json').read_text() == '{\n "a": 1\n}\n'  # without its host


def test_what_has_ended_is_not_repeated(start):
    done, first = start('out', failing='train')
    assert (done.returncode, done.stderr) == (1, 'it broke\n')
    done, second = start('out')
    assert done.returncode == 0
    assert second[0] == first[-1]  # the training goes on
    assert [line[2].split()[2] for line in second] == ['train', 'evaluate', 'evaluate']
    assert start('out')[1] == []
    done, other = start('out', '--resnet50', 'weights.pth')  # the other encoder: no benchmark again
    assert [line[2].split()[2] for line in other] == ['train', 'evaluate', 'evaluate']
    assert 'model.backbone.init_cfg.checkpoint=/' in other[0][2]


def test_wrong_use_names_the_right_one(start):
    for options in ([], ['out', '--other'], ['out', '--resnet50', 'none']):
        done, calls = start(*options)
        assert done.returncode == 2
        assert 'usage: tools/dev/gpu_day.sh OUT' in done.stderr
        assert calls == []
