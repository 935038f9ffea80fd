"""One config, in this process or in several: what mmseg's script is given."""

import sys

import pytest

from condseg_mmseg.apis import train as module
from condseg_mmseg.apis.train import script_arguments, train, train_command
from condseg_mmseg.configs import find_config
from condseg_mmseg.datasets import DatasetFilesError
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.process import ProcessError

NAME = 'condseg_r18_1xb8-4e_demo-96x96'


@pytest.fixture
def scripts(monkeypatch):
    """The scripts of mmseg that would have run, with their arguments."""
    calls = []
    monkeypatch.setattr(module, 'run_script', lambda *args: calls.append(args))
    return calls


def test_mmsegs_script_gets_the_file_and_the_options(scripts):
    train(NAME)
    train(NAME, work_dir='w', resume=True, amp=True, cfg_options=['a.b=1', 'c=2'])
    file, none = str(find_config(NAME)), ['--launcher', 'none']
    options = ['--work-dir', 'w', '--resume', '--amp', '--cfg-options', 'a.b=1', 'c=2']
    assert scripts == [('train.py', [file, *none]), ('train.py', [file, *options, *none])]


def test_a_config_that_imports_nothing_is_refused_before_any_training(scripts, tmp_path):
    path = tmp_path / 'plain.py'
    path.write_text("model = dict(type='EncoderDecoder')\n")
    for gpus in (None, 2):
        with pytest.raises(UserError, match=r'plain\.py imports no modules.*add custom_imports = '):
            train(path, gpus=gpus)
    with pytest.raises(UserError, match='imports no modules'):
        train(NAME, cfg_options=['custom_imports.imports=[]'])
    assert scripts == []


def test_what_the_script_cannot_use_is_a_message(monkeypatch, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match=r'--work-dir .*/file cannot be written: .* is no writable'):
        train(NAME, work_dir=tmp_path / 'file')

    def without_data(*args):
        raise DatasetFilesError('1 problem with the files of data/train.txt')

    monkeypatch.setattr(module, 'run_script', without_data)
    with pytest.raises(UserError, match=r'^1 problem with the files'):
        train(NAME)


def test_a_folder_that_cannot_be_written_is_named(scripts, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr('os.access', lambda *args: False)
        words = f'--work-dir work_dirs/{NAME} cannot be written: {tmp_path} is no writable folder'
        with pytest.raises(UserError, match=words):
            train(NAME)
    assert scripts == []

    def read_only(*args):
        raise OSError(30, 'Read-only file system', name)

    monkeypatch.setattr(module, 'run_script', read_only)
    name = str(tmp_path / 'w/log/scalars.json')
    with pytest.raises(UserError, match=r'scalars\.json cannot be written: Read-only file system;'):
        train(NAME, work_dir='w')
    name = str(tmp_path / 'data/a.png')
    with pytest.raises(OSError, match='Read-only'):
        train(NAME, work_dir='w')


def test_a_disk_that_is_full_while_mmengine_writes_its_logs_is_one_error(monkeypatch, tmp_path):
    def fill(*args):
        with open('/dev/full', 'w') as file:  # the system's own error, which names no file
            file.write('scalars')

    monkeypatch.setattr(module, 'run_script', fill)
    words = rf'^a disk is full, that of {tmp_path}/w or of a temporary file; what was saved before'
    with pytest.raises(UserError, match=words):
        train(NAME, work_dir=tmp_path / 'w')


def test_several_processes_are_started_as_by_the_shell_script(monkeypatch):
    for name in ('NNODES', 'NODE_RANK', 'MASTER_ADDR', 'PORT'):
        monkeypatch.delenv(name, raising=False)
    arguments = script_arguments(find_config(NAME), 'w', cfg_options=['a=1'])
    line = ['-m', 'condseg_mmseg', 'train', str(find_config(NAME)), '--work-dir', 'w']
    line += ['--cfg-options', 'a=1']
    assert train_command(arguments) == [sys.executable, *line]
    monkeypatch.setenv('NNODES', '3')
    monkeypatch.setenv('PORT', '1234')
    assert train_command(arguments, 4) == [
        *(sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=4', '--nnodes=3'),
        *('--node_rank=0', '--master_addr=127.0.0.1', '--master_port=1234'),
        *(*line, '--launcher', 'pytorch'),
    ]
    with pytest.raises(UserError, match='--gpus 4 and --launcher slurm: give one of them'):
        train(NAME, gpus=4, launcher='slurm')


def test_the_output_and_the_end_of_several_processes_come_back(monkeypatch):
    code, lines = 'import sys; print("a"); sys.exit(3)', []
    monkeypatch.setattr(module, 'train_command', lambda *args: [sys.executable, '-c', code])
    with pytest.raises(ProcessError, match='the training ended with status 3: ') as error:
        train(NAME, gpus=2, show=lines.append)
    assert (error.value.status, lines) == (3, ['a'])
