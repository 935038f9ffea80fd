"""Normalisation and activation that every module takes by default; never changed in place."""

BN = {'type': 'BN'}
RELU = {'type': 'ReLU'}
