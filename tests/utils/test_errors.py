"""User errors: what is turned into one, and what stays a defect."""

import pytest

from condseg_mmseg.utils.errors import UserError, user_errors


def test_only_the_named_kinds_become_user_errors():
    with pytest.raises(UserError, match='nothing here'), user_errors(OSError):
        raise FileNotFoundError('nothing here')
    with pytest.raises(KeyError), user_errors(OSError, ValueError):
        raise KeyError('a defect')
    mine = UserError('mine')
    with pytest.raises(UserError) as error, user_errors(ValueError):
        raise mine
    assert error.value is mine
