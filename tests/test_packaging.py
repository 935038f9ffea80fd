"""What a user gets: the wheel, the configs, names and pins."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile

import mmcv
import pytest
import yaml
from mmengine.config import Config
from packaging.requirements import Requirement

import condseg_mmseg
from condseg_mmseg.configs import list_configs
from condseg_mmseg.ops import library
from condseg_mmseg.utils.files import write_json

OURS = [
    'condseg_r50_1xb12-300e_kvasir-seg-256x256',
    'condseg_r50_official_1xb12-300e_kvasir-seg-256x256',
]


@pytest.fixture(scope='module')
def all_names(root):
    return [path.stem for path in list_configs(root / 'configs')]


def test_default_runtime_makes_our_types_known(root):
    cfg = Config.fromfile(root / 'configs' / '_base_' / 'default_runtime.py')
    assert cfg.custom_imports == dict(imports=['condseg_mmseg'], allow_failed_imports=False)
    assert cfg.default_scope == 'mmseg'
    assert cfg.default_hooks.checkpoint.save_best == 'image/mIoU'
    assert cfg.default_hooks.checkpoint.rule == 'greater'


def test_metafiles(root, all_names):
    index = yaml.safe_load((root / 'model-index.yml').read_text())
    folders = {path.parent for path in list_configs(root / 'configs')}
    assert index['Import'] == sorted(f'configs/{folder.name}/metafile.yml' for folder in folders)
    names = []
    for file in index['Import']:
        meta = yaml.safe_load((root / file).read_text())
        collections = {collection['Name'] for collection in meta['Collections']}
        for collection in meta['Collections']:
            assert (root / collection['README']).is_file(), collection['README']
        for model in meta['Models']:
            assert model['In Collection'] in collections
            assert (root / model['Config']).is_file(), model['Config']
            assert model['Config'] == file.replace('metafile.yml', f'{model["Name"]}.py')
            names.append(model['Name'])
    assert sorted(names) == sorted(all_names)


def _pyproject(root):
    tomllib = pytest.importorskip('tomllib', reason='Python 3.11 reads TOML')
    return tomllib.loads((root / 'pyproject.toml').read_text())


def test_neither_stack_is_required(root):
    required = {Requirement(line).name for line in _pyproject(root)['project']['dependencies']}
    assert required == {'torch', 'numpy', 'simplejpeg'}


@pytest.mark.parametrize('extra', ['onedl', 'lite', 'dev'])
def test_what_make_install_installs_is_pinned(root, extra):
    lines = (root / 'requirements' / 'constraints.txt').read_text().splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith('#')]
    pinned = {
        pin.name: str(pin.specifier).removeprefix('==')
        for pin in pins
        if pin.marker is None or pin.marker.evaluate()
    }
    project = _pyproject(root)['project']
    wanted = project['dependencies'] + project['optional-dependencies'][extra]
    for requirement in map(Requirement, wanted):
        assert pinned[requirement.name] in requirement.specifier, requirement


def test_version_is_said_once(root):
    assert f'version: {condseg_mmseg.__version__}' in (root / 'CITATION.cff').read_text()


@pytest.fixture(scope='module')
def source(root, tmp_path_factory):
    """A copy of the checkout."""
    source = tmp_path_factory.mktemp('source')
    ignore = shutil.ignore_patterns('__pycache__', '*.egg-info', '*.so')
    for name in ('condseg_mmseg', 'configs', 'docs', 'requirements', 'tests', 'tools'):
        shutil.copytree(root / name, source / name, ignore=ignore)
    for path in root.iterdir():
        if path.is_file():
            shutil.copy2(path, source)
    return source


@pytest.fixture(scope='module')
def built(source, tmp_path_factory):
    """The sdist, and the wheel made from it."""
    dist = tmp_path_factory.mktemp('dist')
    command = [sys.executable, '-m', 'build', '--no-isolation', '--outdir', dist, source]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return next(dist.glob('*.whl')), next(dist.glob('*.tar.gz'))


def _files(directory):
    return {
        str(path.relative_to(directory.parent))
        for path in directory.rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    }


@pytest.mark.slow
def test_wheel_holds_package_configs_and_tools(root, built):
    with zipfile.ZipFile(built[0]) as wheel:
        names = {name for name in wheel.namelist() if '.dist-info/' not in name}
        metadata = wheel.read(f'condseg_mmseg-{condseg_mmseg.__version__}.dist-info/METADATA')
    expected = {'model-index.yml'} | _files(root / 'configs') | _files(root / 'tools')
    expected = {x for x in expected if not x.startswith('tools/dev/')}  # for maintainers
    expected = {f'condseg_mmseg/.mim/{name}' for name in expected}
    expected |= {
        name for name in _files(root / 'condseg_mmseg') if name.endswith(('.py', 'py.typed'))
    }
    for name in ('cli/train.py', 'apis/demo.py', '.mim/tools/train.py', '.mim/tools/_package.py'):
        assert f'condseg_mmseg/{name}' in expected
    assert names == expected | {'condseg_mmseg/ops/_outlook.so'}
    unconditional = re.findall(r'^Requires-Dist: ([a-z]+)[^;\n]*$', metadata.decode(), re.MULTILINE)
    assert sorted(unconditional) == ['numpy', 'simplejpeg', 'torch']
    description = metadata.decode().partition('\n\n')[2]
    assert '# condseg_mmseg' in description
    assert re.findall(r'\]\((?!http)[^)]*\)', description) == []  # no link that an index lacks


@pytest.mark.slow
def test_sdist_holds_the_checkout_without_tests_and_pictures_of_patients(root, built):
    with tarfile.open(built[1]) as sdist:
        names = {name.partition('/')[2] for name in sdist.getnames()}
    expected = {'setup.py', 'pyproject.toml', 'model-index.yml', 'LICENSE', 'Makefile'}
    expected |= {'README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CITATION.cff'}
    expected |= _files(root / 'condseg_mmseg') - {'condseg_mmseg/ops/_outlook.so'}
    expected |= {'NOTICE'}
    for folder in ('configs', 'docs', 'requirements', 'tools'):
        expected |= _files(root / folder)
    expected = {
        name for name in expected if not name.startswith(('docs/results/', 'docs/predict.jpg'))
    }
    assert sorted(expected - names) == []
    assert not [name for name in names if name.startswith(('tests', 'docs/results', 'weights'))]
    assert [name for name in names if name.endswith(('.png', '.jpg'))] == ['docs/demo.png']
    assert not [name for name in names if '__pycache__' in name or name.endswith(('.pyc', '.so'))]


@pytest.fixture(scope='module')
def condseg(built, tmp_path_factory):
    """Runs the command of the installed wheel in a folder."""
    site = tmp_path_factory.mktemp('site')
    pip = [sys.executable, '-m', 'pip', 'install', '--no-deps', '--no-index', '--target', site]
    subprocess.run([*pip, built[0]], check=True, capture_output=True)

    def run(folder, *args):
        # an editable installation must not come first
        env = dict(os.environ, PYTHONPATH=str(site))
        command = [site / 'bin' / 'condseg', *args]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    run.site = site
    return run


@pytest.mark.slow
def test_configs_are_found_in_an_installed_wheel(condseg, tmp_path):
    configs = condseg.site / 'condseg_mmseg' / '.mim' / 'configs'
    assert condseg(tmp_path, 'configs', '--dir') == f'{configs}\n'
    assert set(OURS) < set(condseg(tmp_path, 'configs').splitlines())
    cfg = Config.fromfile(configs / 'condseg' / f'{OURS[0]}.py', import_custom_modules=False)
    assert cfg.custom_imports.imports == ['condseg_mmseg']


@pytest.mark.slow
def test_the_demo_runs_from_an_installed_wheel(condseg, tmp_path):
    earlier = tmp_path / 'work_dirs' / 'demo' / 'train'
    earlier.mkdir(parents=True)
    write_json(earlier / 'two_stages.json', dict(tool='condseg train', format=1, stages={}))
    (earlier / 'earlier').touch()
    out = condseg(tmp_path, 'demo', '--quick')
    assert 'best brightness threshold, mDice' in out
    assert [path.name for path in tmp_path.iterdir()] == ['work_dirs']
    assert not (earlier / 'earlier').exists()  # it is trained anew
    assert f'training:       {earlier / "two_stages.json"}\n' in out
    work = earlier.parent
    scores = json.loads((work / 'scores.json').read_text())['scores']
    for split in ('val', 'test'):
        sheet = work / f'contact_sheet_{split}.png'
        assert f'{sheet}\n' in out
        assert mmcv.imread(sheet).shape[0] == 30 + 4 * 148
        with (work / f'test_{split}' / 'images.csv').open() as file:
            rows = list(csv.DictReader(file))
        assert {row['img_path'].split('/')[-1].split('_')[0] for row in rows} == {split}
        mean = sum(float(row['dice']) for row in rows) / len(rows)
        assert scores[split]['image/mDice'] == pytest.approx(mean, abs=1e-3)


def _run_op(site, tmp_path):
    """Run the op of an installed package twice, without mmseg, which takes its time to import."""
    code = (
        'import sys, types; package = types.ModuleType("condseg_mmseg"); '
        f'package.__path__ = [{str(site / "condseg_mmseg")!r}]; '
        'sys.modules["condseg_mmseg"] = package; '
        'import torch; from condseg_mmseg.ops import can_run, outlook_aggregate; '
        'case = torch.ones(1, 1, 3, 3), torch.zeros(1, 81, 3, 3); '
        'print(can_run("native", *case)); '
        'print(f"{outlook_aggregate(*case, 1, 3)[0, 0, 1, 1].item():.4f}")'
    )
    result = subprocess.run(
        [sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines(), result.stderr.splitlines()


@pytest.mark.slow
def test_the_wheel_holds_a_library_for_every_python(built, tmp_path):
    machine = sysconfig.get_platform().replace('-', '_').replace('.', '_')
    assert built[0].name == f'condseg_mmseg-{condseg_mmseg.__version__}-py3-none-{machine}.whl'
    with zipfile.ZipFile(built[0]) as wheel:
        wheel.extractall(tmp_path / 'site')
    assert _run_op(tmp_path / 'site', tmp_path) == (['None', '5.4444'], [])


@pytest.mark.slow
@pytest.mark.parametrize('compiler', ['false', 'there-is-no-such-compiler --really', None])
def test_an_installation_without_a_compiler_works_and_warns_once(
    source, tmp_path, monkeypatch, compiler
):
    if compiler:
        monkeypatch.setenv('CC', compiler)
    else:
        monkeypatch.delenv('CC', raising=False)
        monkeypatch.setenv('PATH', str(tmp_path))
    site = tmp_path / 'site'
    options = ['--no-deps', '--no-build-isolation', '--target', str(site)]
    result = subprocess.run(
        [sys.executable, '-m', 'pip', 'install', *options, str(source)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert not (site / 'condseg_mmseg' / 'ops' / '_outlook.so').exists()
    (reason, value), (warning,) = _run_op(site, tmp_path)
    assert reason == 'it was not compiled when the package was installed'
    assert value == '5.4444'
    assert 'install a C compiler (gcc or clang), then run: pip install --force-rein' in warning


@pytest.mark.slow
def test_a_compiler_that_knows_no_avx_gives_the_baseline(source, tmp_path, monkeypatch):
    compiler = tmp_path / 'compiler'
    compiler.write_text('#!/bin/sh\ncase "$*" in *-mavx*) exit 1;; esac\nexec cc "$@" -O1\n')
    compiler.chmod(0o755)
    monkeypatch.setenv('CC', str(compiler))
    command = ['setup.py', 'build_ext', '--build-lib', tmp_path, '--build-temp', tmp_path / 'temp']
    subprocess.run([sys.executable, *command], cwd=source, check=True)
    monkeypatch.setattr(library, 'LIBRARY', tmp_path / 'condseg_mmseg' / 'ops' / '_outlook.so')
    lib = library._open()
    assert library.choose_variant(lib) == 'baseline'
    assert library._self_test(lib)
    with pytest.raises(ValueError, match=r"must be one of \['baseline'\], got 'avx2'"):
        library.choose_variant(lib, 'avx2')


@pytest.mark.parametrize('file', ['ops/csrc/outlook.c', 'ops/csrc/simd.h', 'version.py'])
def test_make_installs_again_after_a_change(root, tmp_path, file):
    """The library of an editable installation is compiled by the installation only."""
    (tmp_path / '.installed').touch()
    command = ['make', '--question', '--directory', root, f'VENV={tmp_path}', 'install']
    assert subprocess.run(command, check=False).returncode == 0
    changed = [*command, '--what-if', f'condseg_mmseg/{file}']
    assert subprocess.run(changed, capture_output=True, check=False).returncode == 1
