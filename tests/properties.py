"""Settings of the tests of properties: the same few inputs at each run."""

from hypothesis import settings

few = settings(derandomize=True, max_examples=15, deadline=None, database=None)
