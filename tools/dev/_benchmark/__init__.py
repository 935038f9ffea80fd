"""What benchmark.py measures, one module a sub-command, and how (core.py)."""
