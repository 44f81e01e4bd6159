"""From ``module:Repository`` on the command line to the class."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

from dynamodb_wrapper import repositories
from dynamodb_wrapper.cli.failures import CommandError
from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.exceptions import DeclarationError
from dynamodb_wrapper.repositories import BaseDynamoRepository
from dynamodb_wrapper.repositories.declarations import model_argument
from dynamodb_wrapper.repositories.tables import TableFoundation

_LIBRARY = Path(repositories.__file__ or "").parent.parent

AnyRepository = BaseDynamoRepository[Any]

_SPECIFICATION = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)")


def load_repository(specification: str, config: DynamoDBConfig) -> AnyRepository:
    """Return a repository that is named as ``module:Class``, with a configuration.

    The module is looked for where Python would, and in the current directory. What it prints goes to stderr. Of an
    async repository, it is a sync one with the same declaration.

    Raises:
        CommandError: There is no such module or class, the module fails, or it is no class of a repository.
        DeclarationError: The class declares no usable table.
    """
    found = load_class(specification)
    made = found if issubclass(found, BaseDynamoRepository) else _sync_class(found)
    repository: AnyRepository = _made(made, specification, config)
    return repository


def load_either(specification: str, config: DynamoDBConfig) -> TableFoundation[Any]:
    """Return a repository of either colour, for what does not ask AWS.

    Raises:
        CommandError: There is no such module or class, the module fails, or it is no class of a repository.
        DeclarationError: The class declares no usable table.
    """
    repository: TableFoundation[Any] = _made(load_class(specification), specification, config)
    return repository


def _made(found: type[Any], specification: str, config: DynamoDBConfig) -> Any:
    try:
        return found(config)
    except TypeError as error:
        raise CommandError(f"{specification} cannot be made from a configuration alone: {error}") from error


def load_class(specification: str) -> type[Any]:
    """Return the repository class, of either colour, that is named as ``module:Class``.

    Raises:
        CommandError: There is no such module or class, the module fails, or it is no class of a repository.
    """
    parts = _SPECIFICATION.fullmatch(specification)
    if parts is None:
        raise CommandError(
            f"{specification!r} names no repository: it is given as module:Class, such as shop.repositories:Orders"
        )
    module = _module(parts["module"])
    found: object = module
    for name in parts["name"].split("."):
        if not hasattr(found, name):
            raise CommandError(f"module {parts['module']} has no {parts['name']!r}; {_repositories_in(module)}")
        found = getattr(found, name)
    if not _is_repository(found):
        kind = "an instance, not a class" if _is_repository(type(found)) else "no repository class"
        raise CommandError(f"{specification} is {kind}; {_repositories_in(module)}")
    return found  # type: ignore[return-value]  # as _is_repository() has seen


def _sync_class(found: type[Any]) -> type[Any]:
    """Return a sync repository class that declares what an async one does; its async methods are not there."""
    if found.__module__.startswith("dynamodb_wrapper."):  # those of ours are written twice
        ours: type[Any] = getattr(repositories, found.__name__.removeprefix("Async"))
        return ours
    members: dict[str, Any] = {}
    for base in reversed(found.__mro__):
        if base not in repositories.AsyncBaseDynamoRepository.__mro__:
            members |= {name: value for name, value in vars(base).items() if _is_declared(name, value)}
    members.setdefault("model_class", model_argument(found))
    return type(found.__name__, (BaseDynamoRepository,), {**members, "__module__": found.__module__})


def _is_declared(name: str, value: object) -> bool:
    is_async = inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value)
    return not name.startswith("__") and name != "_declaration" and not is_async


def is_specification(text: str) -> bool:
    """Whether a text is of the form ``module:Class``, which no table's name has."""
    return _SPECIFICATION.fullmatch(text) is not None


def _module(name: str) -> ModuleType:
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, folder)
    try:
        with redirect_stdout(sys.stderr):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            hint = f"; name the module, not the file: {name[:-3]}" if name.endswith(".py") else ""
            raise CommandError(f"there is no module {error.name!r}, neither installed nor in {folder}{hint}") from error
        raise CommandError(f"module {name} needs {error.name!r}, which is not installed") from error
    except DeclarationError:
        raise
    except (Exception, SystemExit) as error:  # a module may do anything when it is imported
        frames = traceback.extract_tb(error.__traceback__)
        places = [each for each in frames if "importlib" not in each.filename and str(_LIBRARY) not in each.filename]
        where = f" ({Path(places[-1].filename).name}, line {places[-1].lineno})" if places else ""
        raise CommandError(f"module {name} cannot be imported: {type(error).__name__}: {error}{where}") from error


def _is_repository(found: object) -> bool:
    """Whether it is a class that declares a table: the base classes declare none."""
    return isinstance(found, type) and issubclass(found, TableFoundation) and found.primary_key is not None


def _repositories_in(module: ModuleType) -> str:
    classes = {name: value for name, value in vars(module).items() if _is_repository(value)}
    own = [name for name, value in classes.items() if value.__module__ == module.__name__]
    names = sorted(own or classes)
    return f"its repositories are {', '.join(names)}" if names else "it has no repository class"
