"""What a result was made with."""

import subprocess

import torch

from condseg_mmseg.utils.environment import commit, environment


def test_versions_and_machine():
    found = environment()
    assert found['versions']['torch'] == torch.__version__
    assert set(found['versions']) == {
        *('python', 'torch', 'mmengine', 'mmcv', 'mmseg', 'condseg_mmseg')
    }
    assert found['machine']['threads'] == torch.get_num_threads()
    assert found['machine']['cpu']
    assert found['date'].endswith('+00:00')


def test_the_commit_says_whether_files_differ(tmp_path):
    def git(*args):
        names = ['-c', 'user.name=a', '-c', 'user.email=a@b.c']
        done = subprocess.run(
            ['git', '-C', tmp_path, *names, *args], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    assert commit(tmp_path) is None
    git('init')
    file = tmp_path / 'a'
    file.write_text('a')
    git('add', 'a')
    git('commit', '-m', 'a')
    head = git('rev-parse', 'HEAD')
    assert commit(tmp_path) == head
    file.write_text('b')
    assert commit(tmp_path) == f'{head}+changes'
