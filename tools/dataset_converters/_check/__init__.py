"""The parts of check.py: sources -> scan of every pair -> rules, duplicates -> report."""
