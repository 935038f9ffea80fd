"""Brings data sets, as their owners distribute them, into one layout."""
