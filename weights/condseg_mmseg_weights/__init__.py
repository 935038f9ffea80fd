"""Trained weights, each with its config and a description."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def names() -> list[str]:
    """Names of the networks that are here, sorted."""
    return sorted(path.stem for path in FOLDER.glob('*.safetensors'))
