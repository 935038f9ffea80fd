"""The command, and a small data set."""

import pytest
from preparation.samples import files, make_zip

from condseg_mmseg.cli import main


@pytest.fixture
def run(capsys):
    """Run `condseg prepare`; returns its exit status, what it printed, and its messages."""

    def call(*args):
        capsys.readouterr()
        status = main(['prepare', *map(str, args)])
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def refused(run):
    """Run it; returns the message with which it must end."""

    def call(*args):
        status, _, message = run(*args)
        assert status == 2
        return message

    return call


@pytest.fixture
def src(tmp_path):
    return make_zip(tmp_path / 'mine.zip', files())
