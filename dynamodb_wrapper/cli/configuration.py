"""``config``: which settings are in force, and where each one comes from."""

from __future__ import annotations

from dynamodb_wrapper.cli.invocation import Invocation
from dynamodb_wrapper.config.sources import IDENTITY, left_for_environment, read_environment

_OPTIONS = {
    "profile_name": "--profile",
    "region_name": "--region",
    "endpoint_url": "--endpoint",
    "user_timezone": "--timezone",
}
_EMBEDDED = frozenset((*IDENTITY, "endpoint_url"))


def show(invocation: Invocation) -> None:
    """Show every setting, where it comes from, and what it is; secrets are masked."""
    given = invocation.shared.settings
    found = left_for_environment(given, read_environment(None, None))
    values = invocation.config.model_dump(mode="json")

    def source(name: str) -> str:
        if name in given:
            return _OPTIONS[name]
        if invocation.shared.embedded and name in _EMBEDDED:
            return "--embedded"
        return found[name].variable if name in found else "default"

    invocation.output.rows({"setting": name, "value": value, "source": source(name)} for name, value in values.items())
