"""Finds what is wrong with a data set or an installation."""
