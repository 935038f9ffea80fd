"""Compiles the op's library, adds configs and tools to the wheel; all else is in pyproject.toml."""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import CompileError

ROOT = Path(__file__).resolve().parent
# where mim, the package manager of OpenMMLab, looks for them
MIM_FILES = ('configs', 'tools', 'model-index.yml')

CSRC = Path('condseg_mmseg/ops/csrc')
# No -ffast-math: it drops NaN, and linked with it, older GCC makes the whole process flush
# denormals. The options here keep every value and only forgo errno and floating-point traps.
FLAGS = (
    *('-std=gnu11', '-O3', '-fno-math-errno', '-fno-trapping-math', '-ffp-contract=fast'),
    *('-fPIC', '-fvisibility=hidden'),
)
# outlook.c is compiled once for each; a compiler may lack all but the first
VARIANTS = {
    'baseline': (),
    'avx2': ('-mavx2', '-mfma'),
    'avx512': ('-mavx512f', '-mavx512bw', '-mavx512vl', '-mfma'),
}


class BuildWithMim(build_py):
    """Copies ``configs``, ``tools`` and ``model-index.yml`` to ``condseg_mmseg/.mim``.

    They go to the build directory only: an editable installation uses those of the checkout. What
    ``tools/dev`` holds is for maintainers and stays out.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / 'condseg_mmseg' / '.mim'
        shutil.rmtree(target, ignore_errors=True)  # left by an earlier build
        target.mkdir(parents=True)
        ignore = shutil.ignore_patterns('__pycache__', '*.pyc', 'dev')
        for name in MIM_FILES:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, target / name, ignore=ignore)
            else:
                shutil.copy2(source, target / name)


class BuildLibrary(build_ext):
    """Compiles the library of the op, plain C that is loaded by path, by ``$CC``, cc, gcc or clang.

    Where that fails, setuptools warns and goes on, as the extension is optional: the package then
    says at first use what to do.
    """

    def get_ext_filename(self, fullname: str) -> str:
        return f'{fullname.replace(".", os.sep)}.so'  # of no Python version

    def run(self) -> None:
        if self.inplace:  # a library of older sources must not outlive a build that fails
            (ROOT / self.get_ext_filename(LIBRARY.name)).unlink(missing_ok=True)
        super().run()

    def build_extension(self, ext: Extension) -> None:
        target, scratch = Path(self.get_ext_fullpath(ext.name)), Path(self.build_temp)
        target.unlink(missing_ok=True)
        for folder in (target.parent, scratch):
            folder.mkdir(parents=True, exist_ok=True)
        compiler = _compiler()

        def compile_variant(name: str) -> Path | None:
            built = scratch / f'{name}.o'
            command = [*compiler, *FLAGS, *VARIANTS[name], f'-DVARIANT={name}', '-c']
            try:
                _run(*command, str(CSRC / 'outlook.c'), '-o', str(built))
            except CompileError:
                if name == 'baseline':
                    raise
                return None
            return built

        with ThreadPoolExecutor() as pool:
            objects = [built for built in pool.map(compile_variant, VARIANTS) if built]
        macros = [f'-DHAS_{path.stem.upper()}' for path in objects]
        inputs = [str(CSRC / 'dispatch.c'), *map(str, objects)]
        built = scratch / target.name
        # no OpenMP here: the loader finds the functions of the runtime that PyTorch brought
        _run(*compiler, *FLAGS, *macros, '-shared', '-s', *inputs, '-o', str(built))
        content = built.read_bytes()
        # By this end library.py knows a damaged file, which could end the process when loaded. The
        # library is stripped already: a tool that strips it again removes the end, and is refused.
        target.write_bytes(content + hashlib.sha256(content).digest())


def _compiler() -> list[str]:
    chosen = os.environ.get('CC')
    names = [chosen] if chosen else [name for name in ('cc', 'gcc', 'clang') if shutil.which(name)]
    if not names:
        raise CompileError('no C compiler: none of cc, gcc, clang is on the PATH, $CC is not set')
    return shlex.split(names[0])


def _run(*command: str) -> None:
    print(shlex.join(command), flush=True)
    try:
        done = subprocess.run(command, check=False)
    except OSError as error:
        raise CompileError(f'{command[0]}: {error}') from error
    if done.returncode:
        raise CompileError(f'{command[0]} failed with exit status {done.returncode}')


class AnyPython(bdist_wheel):
    """Names the wheel py3-none-PLATFORM: the library needs nothing of Python."""

    def get_tag(self) -> tuple[str, str, str]:
        return 'py3', 'none', super().get_tag()[2]


LIBRARY = Extension(
    'condseg_mmseg.ops._outlook',
    sources=[str(CSRC / 'dispatch.c'), str(CSRC / 'outlook.c')],
    depends=[str(CSRC / name) for name in ('convert.h', 'job.h', 'rows.h', 'simd.h')],
    optional=True,
)


def readme() -> str:
    """README.md without what a package index lacks: pictures and links to files of the checkout."""
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    text = re.sub(r'!\[[^]]*\]\((?!http)[^)]*\)\n+(\*[^*]+\*\n+)?', '', text)
    return re.sub(r'\[([^]]+)\]\((?!http)[^)]*\)', r'\1', text)


setup(
    long_description=readme(),
    long_description_content_type='text/markdown',
    ext_modules=[LIBRARY],
    cmdclass={'build_py': BuildWithMim, 'build_ext': BuildLibrary, 'bdist_wheel': AnyPython},
)
