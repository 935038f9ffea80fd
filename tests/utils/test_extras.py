"""A missing package names the extra that brings it."""

import sys

import pytest

from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.extras import require


def test_a_missing_package_names_the_extra(monkeypatch):
    require('os.path', 'this test', 'metrics')
    monkeypatch.setitem(sys.modules, 'monai.metrics', None)
    for kind in (ImportError, UserError):
        message = r'hd95 needs monai, which .*: pip install "condseg-mmseg\[metrics\]"$'
        with pytest.raises(kind, match=message):
            require('monai.metrics', 'hd95', 'metrics')
