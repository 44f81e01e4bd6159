"""Whether the direct lane may take a call, or somebody relies on botocore to send it.

Everything here that looks inside botocore is in this module, and what does not look as expected sends calls through
botocore: that is slower, never wrong.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import SplitResult, urlsplit

from dynamodb_wrapper.transport.places import PLAIN_PATH, Place, UnknownPlaceError
from dynamodb_wrapper.transport.signing import Keys

if TYPE_CHECKING:
    from botocore.client import BaseClient

OPERATIONS = frozenset(
    (
        "BatchGetItem",
        "BatchWriteItem",
        "DeleteItem",
        "GetItem",
        "PutItem",
        "Query",
        "Scan",
        "TransactGetItems",
        "TransactWriteItems",
        "UpdateItem",
    )
)
"""The operations on items. Those on tables are rare, and their answers have times, which botocore makes datetimes."""

_EVENTS = (
    "provide-client-params",
    "before-parameter-build",
    "before-endpoint-resolution",
    "before-call",
    "request-created",
    "choose-signer",
    "before-sign",
    "before-send",
    "before-parse",
    "response-received",
    "needs-retry",
    "after-call",
    "after-call-error",
)
"""What botocore tells of each request, and asks about it."""

_OWN_HANDLERS = frozenset(
    (
        "botocore.handlers",
        "botocore.retries.standard",
        "botocore.signers",
        "botocore.useragent",
        "dynamodb_wrapper.transport.botocore_lane",
        "dynamodb_wrapper.transport.parsing",
    )
)
"""Where the handlers come from that every client of ours has, and that the direct lane makes up for."""

_ONLY_NAMES_ITSELF = "aws_lambda_powertools.shared.user_agent"
"""Powertools for AWS Lambda adds its name to the User-Agent of every request in the process, and does no more."""

_NO_DISCOVERY = "block_endpoint_discovery_required_operations"  # which DynamoDB has none of
_NO_SIGNATURE = "disable_signing"  # botocore's, for users to register

_PLAIN_PATH = re.compile(PLAIN_PATH)

_INTERNALS = "this version of botocore is not built as expected"


class Guard:
    """Tells, for one client, what keeps a call from the direct lane at this moment."""

    def __init__(self, client: BaseClient) -> None:
        """Look at what was registered when somebody first asks, and again when that changed."""
        self._client: Any = client
        self._view = _View(None)

    def why_not_direct(self, operation: str) -> str | None:
        """Return who or what needs botocore for an operation, or None when nobody does."""
        client = self._client
        if type(client)._make_api_call is not _make_api_call() or "_make_api_call" in vars(client):
            return (
                "botocore's BaseClient._make_api_call is wrapped (by OpenTelemetry, X-Ray, Datadog, Sentry or a mock)"
            )
        try:
            handlers = client.meta.events._emitter._lookup_cache  # another one when a handler comes or goes
        except AttributeError:
            return _INTERNALS
        view = self._view
        if view.handlers is not handlers:
            view = self._view = _View(handlers)
        if operation not in view.reasons:
            view.reasons[operation] = self._who_listens(operation, view.sleeping)
        if (reason := view.reasons[operation]) is not None:
            return reason
        if any(handler.enabled for handler in view.sleeping):
            return "moto is mocking botocore"
        return None

    def _who_listens(self, operation: str, sleeping: list[Any]) -> str | None:
        if operation not in OPERATIONS:
            return _about_tables(operation)
        try:
            find: Callable[[str], Any] = self._client.meta.events._emitter._handlers.prefix_search
            for event in _EVENTS:
                for handler in find(f"{event}.dynamodb.{operation}"):
                    if _sleeps(handler):
                        sleeping.append(handler)
                    elif not is_own(handler):
                        return f"{_name(handler)} is registered for botocore's event {event}"
        except (AttributeError, TypeError):
            return _INTERNALS
        return None


class ClientlessGuard:
    """Tells, where no client was made yet, what keeps a call from the direct lane: ask `nobody_listens` first."""

    def why_not_direct(self, operation: str) -> str | None:
        """Return who or what needs botocore for an operation, or None when nobody does."""
        return None if operation in OPERATIONS else _about_tables(operation)


def nobody_listens() -> bool:
    """Return whether nobody would listen to a client that was made at this moment.

    Where botocore is not even loaded, nobody does, unless somebody waits for it to be: whoever wraps it, mocks it, or
    registers with it loads it.
    """
    botocore = sys.modules.get("botocore")
    global _loaded
    try:
        if botocore is not None and not all(map(_is_harmless, botocore._INITIALIZERS)):  # run for every new session
            return False
        if "botocore.client" not in sys.modules:
            return "botocore.handlers" not in sys.modules and _nobody_waits_for_botocore()
        loaded = _loaded
        if loaded is None or not loaded.is_current():
            loaded = _loaded = _Loaded()
        return loaded.is_untouched and (not loaded.sleeping or not any(one.enabled for one in loaded.sleeping))
    except (AttributeError, TypeError, IndexError):  # it is being loaded, or is not built as expected
        return False


def _is_harmless(initializer: object) -> bool:
    return getattr(initializer, "__module__", None) == _ONLY_NAMES_ITSELF


_FINDERS = ("_frozen_importlib", "_distutils_hack", "_pytest.", "__editable__", "six")
"""The beginnings of the modules of finders that only find: any other may change botocore as soon as it is imported."""

_finders: tuple[tuple[object, ...], bool] = ((), True)


def _nobody_waits_for_botocore() -> bool:
    """Whether nothing would change botocore when it is imported, as tracers do."""
    global _finders
    found, only_find = _finders
    if found != (now := tuple(sys.meta_path)):
        only_find = all(map(_only_finds, now))
        _finders = now, only_find
    return only_find


def _only_finds(finder: object) -> bool:
    of = finder if isinstance(finder, type) else type(finder)
    return of.__module__.startswith(_FINDERS)


class _Loaded:
    """What was found out about one state of botocore's modules: replaced, not changed, when that state does."""

    __slots__ = ("_functions", "_handlers", "is_untouched", "sleeping")

    def __init__(self) -> None:
        self.sleeping: list[Any] = []
        self._functions = _functions_of_clients()
        self._handlers = list(_builtin_handlers())
        self.is_untouched = all(map(is_botocores, self._functions)) and all(map(self._is_harmless, self._handlers))

    def is_current(self) -> bool:
        """Return whether it is still that state."""
        now, then = _functions_of_clients(), self._functions
        # By identity: what wraps a function may say that it equals it. Spelt out, because every call asks.
        are_same = now[0] is then[0] and now[1] is then[1] and now[2] is then[2] and now[3] is then[3]
        return are_same and now[4] is then[4] and _builtin_handlers() == self._handlers

    def _is_harmless(self, entry: Any) -> bool:
        event, handler = entry[:2]
        if _sleeps(handler):
            self.sleeping.append(handler)
            return True
        if getattr(handler, "__name__", None) == _NO_SIGNATURE:  # botocore has it for services that need none
            return event.count(".") == 2 and ".dynamodb" not in event and "*" not in event
        return str(getattr(handler, "__module__", None)).startswith("botocore.")


_loaded: _Loaded | None = None


def _builtin_handlers() -> list[Any]:
    """Return what botocore registers with every session."""
    handlers = sys.modules.get("botocore.handlers")
    return [] if handlers is None else cast("list[Any]", handlers.BUILTIN_HANDLERS)


def _functions_of_clients() -> tuple[Any, Any, Any, Any, Any]:
    """Return what clients are made by, and what they send requests with: what tools wrap that listen to clients."""
    client, session = sys.modules["botocore.client"], sys.modules.get("botocore.session")
    base, made = client.BaseClient, client.ClientCreator.create_client
    if session is None:
        return base._make_api_call, base.__init__, made, None, None
    return base._make_api_call, base.__init__, made, session.Session.__init__, session.Session.create_client


def _about_tables(operation: str) -> str:
    return f"{operation} is not an operation on items"


class _View:
    """What was found out about one state of a client's handlers: replaced, not changed, when that state does."""

    __slots__ = ("handlers", "reasons", "sleeping")

    def __init__(self, handlers: object) -> None:
        self.handlers = handlers
        self.reasons: dict[str, str | None] = {}
        self.sleeping: list[Any] = []


def is_own(handler: Any) -> bool:
    """Return whether a handler is one that every client of ours has, or one that does not matter."""
    module, name = getattr(handler, "__module__", None), getattr(handler, "__name__", None)
    if module == "botocore.discovery":
        return name == _NO_DISCOVERY
    return (module in _OWN_HANDLERS and name != _NO_SIGNATURE) or module == _ONLY_NAMES_ITSELF


def _sleeps(handler: Any) -> bool:
    """Whether it is moto's, which is on every client made after moto's import, and does nothing until it is enabled."""
    return type(handler).__module__.startswith("moto.") and isinstance(getattr(handler, "enabled", None), bool)


def _name(handler: Any) -> str:
    return f"{getattr(handler, '__module__', '?')}.{getattr(handler, '__qualname__', type(handler).__qualname__)}"


_plain_make_api_call: list[object] = []


def _make_api_call() -> object:
    """Return botocore's own function; None if it was wrapped before anybody looked."""
    if not _plain_make_api_call:
        from botocore import client

        found = vars(client.BaseClient).get("_make_api_call")
        if not is_botocores(found):
            return None
        _plain_make_api_call.append(found)
    return _plain_make_api_call[0]


def is_botocores(function: Any) -> bool:
    """Return whether a function is botocore's own, and nothing that wraps it."""
    # What wraps a function takes over its name and even its code, but not its type and its globals. botocore itself
    # decorates this one.
    while function is not None:
        if type(function) is not FunctionType or not function.__globals__["__name__"].startswith("botocore."):
            return False
        function = getattr(function, "__wrapped__", None)
    return True


class FrozenKeys(Keys, Protocol):
    """botocore's credentials at one moment; old versions do not know the account."""


def credentials_of(client: BaseClient) -> Any:
    """Return the credentials a client signs with, which renew themselves; None if it has none."""
    return getattr(getattr(client, "_request_signer", None), "_credentials", None)


def are_to_be_renewed(credentials: Any) -> bool:
    """Return whether reading the keys of credentials would first fetch them."""
    needs = getattr(credentials, "refresh_needed", None)
    return needs is not None and bool(needs())


def account_of(keys: FrozenKeys) -> str | None:
    """Return the account of credentials, if they know it."""
    return getattr(keys, "account_id", None)


def place_of(client: BaseClient) -> Place:
    """Return where a client sends requests at this moment.

    Raises:
        UnknownPlaceError: The direct lane cannot go there, or not in that way.
    """
    from botocore.exceptions import BotoCoreError

    inside: Any = client
    try:
        config, session = client.meta.config, inside._endpoint.http_session
        found = _resolved(inside)
        parts = urlsplit(found.url)
        region, service = _signed_for(inside, found)
        _check(inside, config, session, parts, found)
        ca_bundle = _ca_bundle(session._verify)
    except (AttributeError, TypeError, KeyError, ImportError) as error:
        raise UnknownPlaceError(f"{_INTERNALS} ({error})") from error
    except BotoCoreError as error:
        raise UnknownPlaceError(str(error)) from error
    is_tls = parts.scheme == "https"
    is_by_account = inside._ruleset_resolver._builtins.get("SDK::Endpoint") is None and _is_by_account(config)
    return Place(
        scheme=parts.scheme,
        host=parts.hostname or "",
        port=parts.port or (443 if is_tls else 80),
        path=parts.path or "/",
        region=region,
        service=service,
        ca_bundle=ca_bundle,
        is_by_account=is_by_account,
        app_id=getattr(config, "user_agent_appid", None),
    )


def _resolved(client: Any) -> Any:
    operation = client.meta.service_model.operation_model("GetItem")
    context = {"client_region": client.meta.region_name, "client_config": client.meta.config, "auth_type": None}
    return client._ruleset_resolver.construct_endpoint(
        operation_model=operation, call_args={"TableName": "any"}, request_context=context
    )


def _is_by_account(config: Any) -> bool:
    return getattr(config, "account_id_endpoint_mode", "disabled") != "disabled"


def _signed_for(client: Any, found: Any) -> tuple[str, str]:
    signer = client._request_signer
    schemes = found.properties.get("authSchemes")
    if schemes is None:
        return signer._region_name, signer._signing_name
    scheme = schemes[0]
    if scheme["name"] != "sigv4":
        raise UnknownPlaceError(f"requests are signed with {scheme['name']}")
    return scheme.get("signingRegion", signer._region_name), scheme.get("signingName", signer._signing_name)


def _check(client: Any, config: Any, session: Any, parts: SplitResult, found: Any) -> None:
    url = found.url
    problems = {
        f"the endpoint {parts.scheme}:// is not HTTP": parts.scheme not in ("http", "https") or not parts.hostname,
        "the endpoint's URL has more than a host and a plain path": (
            parts.username is not None
            or bool(parts.query or parts.fragment)
            or not _PLAIN_PATH.fullmatch(parts.path)
            or "%" in parts.netloc
            or not parts.netloc.isascii()
        ),
        "the endpoint asks for headers of its own": bool(found.headers),
        "requests go through a proxy": session._proxy_config.proxy_url_for(url) is not None,
        "there is a client certificate": bool(session._cert_file or config.client_cert),
        "certificates are not verified": not session._verify,
        f"requests are signed in the way {config.signature_version!r}": (
            (config.signature_version, client._request_signer._signature_version) != ("v4", "v4")
        ),
        "there is a preference among authentication schemes": bool(getattr(config, "auth_scheme_preference", None)),
    }
    for problem, is_there in problems.items():
        if is_there:
            raise UnknownPlaceError(problem)


def _ca_bundle(verify: object) -> str:
    from botocore.httpsession import get_cert_path

    return str(get_cert_path(cast(bool, verify)))  # a path, too, whatever the stub says
