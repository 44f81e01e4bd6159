"""What botocore works out for every request, worked out once: for a client of ours, with the same outcome.

It takes a fifth of what a small request costs there. Where this version of botocore is not built as expected, or
somebody has wrapped these parts of it, botocore does it all by itself.
"""

from __future__ import annotations

import hmac
import inspect
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore import auth, useragent
from botocore.serialize import JSONSerializer
from botocore.signers import RequestSigner

from dynamodb_wrapper.codec import encoded_to_json
from dynamodb_wrapper.transport.guard import is_botocores
from dynamodb_wrapper.transport.parsing import are_same, methods_of

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.model import OperationModel

    from dynamodb_wrapper.transport.parsing import Parsing

_auth: Any = auth  # with what its stubs leave out


def take_shortcuts(client: BaseClient, parsing: Parsing) -> None:
    """Make a client write requests, name itself in them and sign them with less work."""
    inside: Any = client
    serializer: Any = getattr(inside, "_serializer", None)
    creator: Any = getattr(inside, "_user_agent_creator", None)
    signer: Any = getattr(inside, "_request_signer", None)
    if _is_a(JSONSerializer, serializer, _serializing_functions):
        serializer.serialize_to_request = _Serializing(serializer, parsing)
    if _is_a(useragent.UserAgentString, creator, _naming_functions) and _modifies_no_user_agents():
        creator.to_string = _UserAgent(creator)
    if _is_a(RequestSigner, signer, _signing_functions):
        signer.get_auth_instance = _Signing(signer)


def _is_a(cls: type, found: object, functions: Callable[[], tuple[object, ...]]) -> bool:
    """Whether something is of a class of botocore's, and that one and what else counts as they were made."""
    try:
        return type(found) is cls and all(map(is_botocores, (*methods_of(cls), *functions())))
    except AttributeError:
        return False


class _Shortcut:
    """Stands in an object for one of its methods, as long as nobody has wrapped that, or what it does without."""

    def __init__(self, owner: Any, name: str, functions: Callable[[], tuple[object, ...]]) -> None:
        self._owner, self._name, self._functions = owner, name, functions
        self._plainly = getattr(owner, name)
        self._then = functions()

    def _wrapped(self) -> Any:
        """Return the method as the class has it now, where somebody has wrapped something; else None."""
        if are_same(self._functions(), self._then):
            return None
        cls = type(self._owner)
        found: Any = inspect.getattr_static(cls, self._name)
        return found.__get__(self._owner, cls) if hasattr(found, "__get__") else found


# --- bodies -----------------------------------------------------------------------------------------------------------

_SERIALIZING = attrgetter("serialize_to_request", "_serialize", "_serialize_type_structure", "_serialize_type_map")


def _serializing_functions() -> tuple[object, ...]:
    return _SERIALIZING(JSONSerializer)


class _Serializing(_Shortcut):
    """Makes requests of parameters: of a call's that nobody else sees, without looking up what each value is."""

    def __init__(self, serializer: Any, parsing: Parsing) -> None:
        super().__init__(serializer, "serialize_to_request", _serializing_functions)
        self._parsing = parsing
        self._empty: dict[str, dict[str, Any]] = {}

    def __call__(self, parameters: dict[str, Any], operation_model: OperationModel) -> dict[str, Any]:
        """Return what botocore's serializer does, give or take white space in the body."""
        operation = operation_model.name
        wrapped = self._wrapped()
        current = None if wrapped is not None else self._parsing.unseen(operation)
        if current is None:
            request: dict[str, Any] = (wrapped or self._plainly)(parameters, operation_model)
            return request
        if operation not in self._empty:
            self._empty[operation] = self._plainly({}, operation_model)
        request = {
            name: dict(part) if isinstance(part, dict) else part for name, part in self._empty[operation].items()
        }
        request["body"] = encoded_to_json(parameters) if current.call.body is None else current.call.body
        return request


# --- User-Agent -------------------------------------------------------------------------------------------------------


def _modifies_no_user_agents() -> bool:
    # Those who build botocore anew may have another one.
    return getattr(useragent.modify_components, "__module__", None) == useragent.__name__


def _naming_functions() -> tuple[object, ...]:
    return useragent.UserAgentString.to_string, useragent.modify_components


class _UserAgent(_Shortcut):
    """The text of ``User-Agent``, which botocore puts together twice for each request."""

    def __init__(self, creator: Any) -> None:
        super().__init__(creator, "to_string", _naming_functions)
        self._config = creator._client_config
        self._context = getattr(useragent, "get_context", lambda: None)  # since botocore 1.37
        self._known: tuple[object, str] = (None, "")

    def __call__(self) -> str:
        """Return the text, made anew when what changes in it is another."""
        if (wrapped := self._wrapped()) is not None:
            text: str = wrapped()
            return text
        context, config = self._context(), self._config
        features = None if context is None else frozenset(context.features)
        depends_on = features, config.user_agent, config.user_agent_extra, config.user_agent_appid
        known, text = self._known
        if depends_on != known:
            text = self._plainly()
            self._known = depends_on, text
        return text


# --- signatures -------------------------------------------------------------------------------------------------------


_SIGNING = attrgetter(
    "canonical_request",
    "headers_to_sign",
    "canonical_headers",
    "_header_value",
    "signed_headers",
    "canonical_query_string",
    "_normalize_url_path",
    "signature",
    "_sign",
    "_inject_signature_to_request",
)


def _signing_functions() -> tuple[object, ...]:
    """Return what `_SigV4` takes the place of, or remembers the outcome of."""
    return RequestSigner.get_auth_instance, _auth._host_from_url, *_SIGNING(auth.SigV4Auth)


class _Signing(_Shortcut):
    """Gives what signs a request, and keeps what is the same for the next one; safe under threads.

    Attributes:
        key: What the signing key of a day was made from, and that key.
        url: The last request's, and what a signature has of it: path, query, host.
    """

    def __init__(self, signer: Any) -> None:
        super().__init__(signer, "get_auth_instance", _signing_functions)
        self.key: tuple[object, bytes] = (None, b"")
        self.url: tuple[str, tuple[str, str, str]] = ("", ("", "", ""))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what botocore returns, or a quicker one of those that sign headers with Signature Version 4."""
        wrapped = self._wrapped()
        plain: Any = (wrapped or self._plainly)(*args, **kwargs)
        return plain if wrapped is not None or type(plain) is not auth.SigV4Auth else _SigV4(self, plain)


class _SigV4(auth.SigV4Auth):
    """Signs one request, as the one does that botocore would have it signed by."""

    def __init__(self, shared: _Signing, plain: Any) -> None:
        self._place: tuple[str, str] = plain._region_name, plain._service_name
        super().__init__(plain.credentials, plain._service_name, plain._region_name)
        self._shared = shared
        self._names: str | None = None

    def canonical_request(self, request: Any) -> str:
        """Return the text whose hash is signed."""
        found: dict[str, str] = {}
        for name, value in request.headers.items():
            lower = name.lower()
            if lower in _auth.SIGNED_HEADERS_BLACKLIST:
                continue
            if lower in found or lower == "x-amz-content-sha256" or type(value) is not str:
                return super().canonical_request(request)
            found[lower] = " ".join(value.split())
        if request.params:
            return super().canonical_request(request)
        path, query, host = self._parts(request)
        found.setdefault("host", host)
        headers = "\n".join([f"{name}:{found[name]}" for name in sorted(found)])
        self._names = ";".join(sorted(name.strip() for name in found))
        return f"{request.method.upper()}\n{path}\n{query}\n{headers}\n\n{self._names}\n{self.payload(request)}"

    def signature(self, string_to_sign: str, request: Any) -> str:
        """Return the signature, made with a key that is the same all day."""
        made_from = (self.credentials.secret_key, request.context["timestamp"][:8], *self._place)
        known, key = self._shared.key
        if made_from != known:
            key = f"AWS4{made_from[0]}".encode()
            for part in (*made_from[1:], "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._shared.key = made_from, key
        return hmac.digest(key, string_to_sign.encode(), "sha256").hex()

    def _inject_signature_to_request(self, request: Any, signature: str) -> Any:
        if self._names is None:
            plain: Any = super()
            return plain._inject_signature_to_request(request, signature)
        request.headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.scope(request)}, SignedHeaders={self._names}, Signature={signature}"
        )
        return request

    def _parts(self, request: Any) -> tuple[str, str, str]:
        """Return what a signature has of a request's URL."""
        url, parts = self._shared.url
        if url != request.url:
            inside: Any = self
            path = inside._normalize_url_path(urlsplit(request.url).path)
            host = " ".join(_auth._host_from_url(request.url).split())
            parts = path, self.canonical_query_string(request), host
            self._shared.url = request.url, parts
        return parts
