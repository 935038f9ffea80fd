"""The mutants of ``make mutate`` are in step with the code, and a survivor is a failure."""

import mutate
import pytest
from helpers import ROOT
from mutate import MUTANTS, Mutant, fate


@pytest.mark.parametrize('mutant', MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_what_is_changed_is_there_once_and_so_are_its_tests(mutant):
    assert (ROOT / mutant.file).read_text().count(mutant.old) == 1
    file, _, name = mutant.tests.partition('::')
    assert name.partition('[')[0] in (ROOT / file).read_text()


def test_a_mutant_is_applied_for_its_tests_only(tmp_path, monkeypatch):
    (tmp_path / 'a.py').write_text('x = 1')
    seen = []

    def passes(tree, tests):
        seen.append((tree / 'a.py').read_text())
        return 'x = 1' in seen[-1] or tests == ['weak']

    monkeypatch.setattr(mutate, 'passes', passes)
    found = [
        fate(tmp_path, Mutant('', 'a.py', *texts))
        for texts in (('1', '2', 'strong'), ('1', '2', 'weak'), ('3', '2', 'strong'))
    ]
    assert found == ['noticed', 'SURVIVED', 'its text occurs 0 times']
    assert seen == ['x = 2', 'x = 2']
    assert (tmp_path / 'a.py').read_text() == 'x = 1'
