"""Adds the configs and tools to the wheel; all else stands in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# where mim, the package manager of OpenMMLab, looks for them
MIM_FILES = ('configs', 'tools', 'model-index.yml')


class BuildWithMim(build_py):
    """Copies ``configs``, ``tools`` and ``model-index.yml`` to ``condseg_mmseg/.mim``.

    They go to the build directory only: an editable installation uses those of the checkout.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / 'condseg_mmseg' / '.mim'
        shutil.rmtree(target, ignore_errors=True)  # left by an earlier build
        target.mkdir(parents=True)
        ignore = shutil.ignore_patterns('__pycache__', '*.pyc')
        for name in MIM_FILES:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, target / name, ignore=ignore)
            else:
                shutil.copy2(source, target / name)


setup(cmdclass={'build_py': BuildWithMim})
