"""Loads a module of build/ for its tests, because build/ is not a package."""

import importlib.util
from types import ModuleType

from tests.requirements import ROOT


def load(name: str) -> ModuleType:
    """Run build/NAME.py as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"build/{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
