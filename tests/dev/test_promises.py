"""The figures of docs/reliability.md: which tests give them, and how they get there."""

import os

import promises
import pytest
from helpers import ROOT

TEXT = (ROOT / 'docs' / 'reliability.md').read_text()
PAGE = 'before\n<!-- figures -->\n{table}<!-- /figures -->\nafter\n'
ROW = '| {} | {} | full | a machine | 2026-01-02 |'


def test_every_linked_test_is_there():
    tests = promises.linked_tests(TEXT)
    assert {'tests/apis/test_kill_9.py', 'tests/attacks/test_checkpoints.py'} <= set(tests)
    assert 'tests/ops/test_outlook_properties.py' in tests  # by its folder
    assert [name for name in tests if not (ROOT / name).is_file()] == []


def test_new_figures_replace_their_rows_and_leave_the_others():
    conditions = 'full | a machine | 2026-01-02'
    first = promises.updated(PAGE.format(table=''), {'b': '1', 'a': '2'}, conditions)
    rows = [ROW.format('a', '2'), ROW.format('b', '1')]
    assert first == PAGE.format(table='\n'.join([promises.HEAD, *rows]) + '\n')
    second = promises.updated(first, {'b': '3 of 4'}, 'reduced | other | 2026-02-03')
    assert promises.rows_of(second) == {
        'a': rows[0], 'b': '| b | 3 of 4 | reduced | other | 2026-02-03 |'
    }  # fmt: skip


@pytest.fixture
def page(tmp_path, monkeypatch):
    (tmp_path / 'test_one.py').write_text(
        'import os\n'
        'from helpers import FULL, figure\n\n'
        'def test_one():\n'
        "    figure('one', f'{FULL}')\n"
        "    assert 'FAIL' not in os.environ\n"
    )
    path = tmp_path / 'page.md'
    path.write_text(PAGE.format(table=''))
    monkeypatch.setattr(promises, 'PAGE', path)
    monkeypatch.setenv('PYTHONPATH', f'{ROOT}{os.pathsep}{ROOT / "tests"}')
    return path


@pytest.mark.slow
def test_what_a_test_measures_is_written_unless_it_fails(page, monkeypatch, capfd):
    before = page.read_text()
    one = str(page.parent / 'test_one.py')
    monkeypatch.setenv('FAIL', '1')
    assert promises.main([one]) == 1
    assert 'nothing was written' in capfd.readouterr().err
    assert page.read_text() == before
    monkeypatch.delenv('FAIL')
    assert promises.main([one]) == 0
    assert '| one | True | full |' in page.read_text()
    assert promises.main([one, '--reduced']) == 0
    assert '| one | False | reduced |' in page.read_text()
