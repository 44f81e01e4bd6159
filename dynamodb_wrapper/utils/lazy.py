"""Packages that import what they export when it is first used, so that a program pays only for what it uses."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType


class LazyModule:
    """Stands for a module that is imported when something of it is first used."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._module: ModuleType | None = None

    def __getattr__(self, name: str) -> object:
        module = self._module
        if module is None:
            module = self._module = import_module(self._name)
        return getattr(module, name)


def exported(
    package: str, names: Mapping[str, str], *, modules: str = ""
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a package (PEP 562).

    Args:
        package: Its ``__name__``.
        names: The names that each module has for it, separated by spaces.
        modules: The modules that ``from package import module`` does not import yet, separated by spaces.
    """
    homes = {name: module for module, of_module in names.items() for name in of_module.split()}
    lazy = {name: LazyModule(f"{package}.{name}") for name in modules.split()}

    def __getattr__(name: str) -> object:  # noqa: N807
        if name in lazy:
            return lazy[name]
        home = homes.get(name)
        if home is None:
            if not name.startswith("_") and find_spec(f"{package}.{name}") is not None:
                return import_module(f"{package}.{name}")  # as if it had been imported with the package
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package])
        found: object = getattr(import_module(home), name)
        setattr(sys.modules[package], name, found)  # so that this is asked once
        return found

    def __dir__() -> list[str]:  # noqa: N807
        return sorted({*vars(sys.modules[package]), *homes, *lazy})

    return __getattr__, __dir__
