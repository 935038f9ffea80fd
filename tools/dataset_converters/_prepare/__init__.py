"""The parts of prepare.py: sources -> plan (one recipe a data set) -> check -> write -> record."""
