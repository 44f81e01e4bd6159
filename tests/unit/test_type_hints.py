"""Type hints of what is public can be asked for at run time, as FastAPI, Sphinx and dependency injection do."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, get_args, get_origin, get_type_hints

import pytest

import dynamodb_wrapper
from dynamodb_wrapper import AsyncBaseDynamoRepository, BaseDynamoRepository, Query


def public() -> Iterator[tuple[str, Any]]:
    """Classes, their public methods and properties, and functions."""
    for name in dynamodb_wrapper.__all__:
        found = getattr(dynamodb_wrapper, name)
        if inspect.isfunction(found) or inspect.isclass(found):
            yield name, found
        if not inspect.isclass(found):
            continue
        for member in dir(found):
            inside = inspect.getattr_static(found, member)
            if isinstance(inside, classmethod | staticmethod):
                inside = inside.__func__
            elif isinstance(inside, property):
                inside = inside.fget
            is_ours = inspect.isfunction(inside) and inside.__module__.startswith("dynamodb_wrapper")
            if is_ours and (member == "__init__" or not member.startswith("_")):
                yield f"{name}.{member}", inside


def test_all_have_them() -> None:
    failed, asked = {}, 0
    for name, found in public():
        asked += 1
        try:
            get_type_hints(found)
        except (NameError, AttributeError, TypeError) as error:
            failed[name] = error
    assert not failed
    assert asked > 900


@pytest.mark.parametrize("repository", [BaseDynamoRepository, AsyncBaseDynamoRepository])
def test_they_are_the_types_themselves(repository: type[Any]) -> None:
    hints = get_type_hints(repository.query)
    origin = get_origin(hints["return"])
    assert origin is (Query if repository is BaseDynamoRepository else dynamodb_wrapper.AsyncQuery)
    assert len(get_args(hints["return"])) == 1


def test_asking_for_one_is_enough() -> None:
    """In a new process, in which nothing has loaded what the hints name."""
    asked = (
        "import typing; from dynamodb_wrapper import BaseDynamoRepository as R; print(typing.get_type_hints(R.query))"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert "repositories.query.Query" in done.stdout
