"""The check of the installed stack: what it refuses, and what it says."""

import contextlib
import types
import warnings

import pytest
from helpers import FORKS, INSTALL, UNINSTALL

from condseg_mmseg import stack
from condseg_mmseg.stack import (
    check_stack,
    fixing_command,
    import_failure,
    installed_versions,
    release,
)

OLDEST = dict(stack.OLDEST)
NOTHING = dict(mmengine=None, mmcv=None, mmseg=None)


@pytest.mark.parametrize(
    ('version', 'numbers'),
    [
        ('2.1.0', (2, 1)),
        ('0.10.7', (0, 10, 7)),
        ('2.3.6+cpu', (2, 3, 6)),
        ('1.2.2rc1', (1, 2, 2)),
        ('unknown', ()),
    ],
)
def test_release(version, numbers):
    assert release(version) == numbers


@pytest.mark.parametrize(
    'found', [OLDEST, FORKS, dict(mmengine='0.10.7', mmcv='2.1.0', mmseg='1.2.2')]
)
def test_accepted_versions_pass(found):
    check_stack(found)


def test_there_is_no_upper_bound():
    check_stack(dict.fromkeys(OLDEST, '99.0'))


def test_versions_compare_as_numbers():
    """As text, 0.9.10 is newer than 0.10.7."""
    with pytest.raises(ImportError, match=r'mmengine is 0\.9\.10, older than 0\.10\.7'):
        check_stack(dict(FORKS, mmengine='0.9.10'))


def test_nothing_installed():
    with pytest.raises(ImportError) as caught:
        check_stack(NOTHING)
    assert str(caught.value).splitlines() == [
        'condseg_mmseg needs MMSegmentation and the packages under it:',
        '  - mmengine is missing (needs >= 0.10.7)',
        '  - mmcv is missing (needs >= 2.0.0)',
        '  - mmseg is missing (needs >= 1.2.2)',
        'This installs a tested set:',
        f'  {INSTALL}',
    ]


@pytest.mark.parametrize('name', sorted(OLDEST))
def test_one_missing(name):
    with pytest.raises(ImportError) as caught:
        check_stack(dict(FORKS, **{name: None}))
    assert f'- {name} is missing (needs >= {OLDEST[name]})' in str(caught.value)
    assert str(caught.value).count('  - ') == 1
    with pytest.raises(ImportError, match=f'{name} is missing'):
        check_stack({key: value for key, value in FORKS.items() if key != name})


@pytest.mark.parametrize(
    ('name', 'version'), [('mmengine', '0.10.6'), ('mmcv', '1.7.2'), ('mmseg', '1.2.1')]
)
def test_one_too_old(name, version):
    with pytest.raises(ImportError) as caught:
        check_stack(dict(FORKS, **{name: version}))
    message = str(caught.value)
    assert f'- {name} is {version}, older than {OLDEST[name]}, the oldest accepted' in message
    assert message.count('  - ') == 1
    # the files of either family have to go before the forks' come
    assert message.endswith(f'  {UNINSTALL} && {INSTALL}')


def test_nothing_to_uninstall_on_a_bare_machine():
    assert fixing_command(NOTHING) == INSTALL


def test_installed_versions_are_those_of_the_modules():
    import mmcv
    import mmengine
    import mmseg

    assert installed_versions() == {
        'mmengine': mmengine.__version__,
        'mmcv': mmcv.__version__,
        'mmseg': mmseg.__version__,
    }


def _pretend(monkeypatch, missing=(), broken=()):
    """Lets some modules of the stack be missing, and others fail to import."""

    def find_spec(name):
        return None if name in missing else object()

    def import_module(name):
        if name in broken:
            raise AssertionError('MMCV==2.2.0 is used but incompatible')
        return types.SimpleNamespace(__version__=FORKS[name])

    monkeypatch.setattr(stack.importlib.util, 'find_spec', find_spec)
    monkeypatch.setattr(stack.importlib, 'import_module', import_module)


def test_a_module_that_does_not_import(monkeypatch):
    _pretend(monkeypatch, broken=['mmseg'])
    with pytest.raises(ImportError) as caught:
        stack.require_stack()
    message = str(caught.value)
    assert (
        '- mmseg does not import: AssertionError: MMCV==2.2.0 is used but incompatible' in message
    )
    assert message.endswith(f'  {UNINSTALL} && {INSTALL}')
    assert isinstance(caught.value.__cause__, AssertionError)


def test_only_the_cause_is_named(monkeypatch):
    """Without mmcv, mmseg does not import either; that is not a problem of its own."""
    _pretend(monkeypatch, missing=['mmcv'], broken=['mmseg'])
    with pytest.raises(ImportError) as caught:
        stack.require_stack()
    assert str(caught.value).count('  - ') == 1
    assert 'mmcv is missing' in str(caught.value)


@pytest.mark.parametrize('name', ['mmcv._ext', 'ftfy', None])
def test_a_failure_further_in_is_told_with_the_command(name):
    error = ModuleNotFoundError(f'No module named {name!r}', name=name)
    assert import_failure(error).splitlines() == [
        'condseg_mmseg needs MMSegmentation and the packages under it:',
        f'  - it does not import in full: ModuleNotFoundError: No module named {name!r}',
        'This installs a tested set:',
        f'  {UNINSTALL} && {INSTALL}',
    ]


@pytest.mark.parametrize('name', ['condseg_mmseg', 'condseg_mmseg.ops.fast'])
def test_a_module_of_ours_that_is_missing_is_no_matter_of_the_stack(name):
    assert import_failure(ModuleNotFoundError(f'No module named {name!r}', name=name)) == ''
    assert import_failure(ImportError('x', name='condseg_mmseg_other'))


LIBRARIES = ['libGL.so.1', 'libgthread-2.0.so.0', 'libglib-2.0.so.0']


@pytest.mark.parametrize('library', LIBRARIES)
def test_a_library_of_the_system_is_no_matter_of_pip(library):
    text = f'{library}: cannot open shared object file: No such file or directory'
    message = import_failure(ImportError(text, name='cv2'))
    assert text in message
    assert message.endswith('\n  apt-get install libgl1 libglib2.0-0')
    assert 'pip' not in message


def test_another_library_is():
    message = import_failure(ImportError('libtorch_cpu.so: cannot open shared object file'))
    assert message.endswith(INSTALL)
    assert 'apt-get' not in message


def test_exactly_two_notes_of_the_forks_are_kept_back(capsys):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        with contextlib.suppress(KeyError), stack.without_notes_of_the_forks():
            print('Could not import OneDL')
            print('Could not import OneDL, once more')
            print('another')
            warnings.warn(f'{stack.WARNING}``mmcv``', stacklevel=1)
            warnings.warn(f'{stack.WARNING}``mmcv``', RuntimeWarning, stacklevel=1)
            warnings.warn('other', stacklevel=1)
            raise KeyError
        warnings.warn('afterwards', stacklevel=1)
    kept = [(item.category, str(item.message)) for item in caught]
    assert kept == [
        (RuntimeWarning, f'{stack.WARNING}``mmcv``'),
        (UserWarning, 'other'),
        (UserWarning, 'afterwards'),
    ]
    captured = capsys.readouterr()
    assert captured.out == ''
    assert captured.err == 'Could not import OneDL, once more\nanother\n'
