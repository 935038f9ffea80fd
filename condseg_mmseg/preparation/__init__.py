"""Brings data sets, as their owners distribute them, into one layout."""

from .build import RECIPES, Prepared, prepare
from .demo_dataset import make_demo_dataset
from .demo_scene import SceneKnobs

__all__ = ['RECIPES', 'Prepared', 'SceneKnobs', 'make_demo_dataset', 'prepare']
