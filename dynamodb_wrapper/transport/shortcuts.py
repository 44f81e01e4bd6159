"""What botocore works out for every request, worked out once: for a client of ours, with the same outcome.

It takes a fifth of what a small request costs there. Where this version of botocore is not built as expected, or
somebody has wrapped these parts of it, botocore does it all by itself.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore import auth, useragent
from botocore.serialize import JSONSerializer
from botocore.signers import RequestSigner

from dynamodb_wrapper.codec import encoded_to_json
from dynamodb_wrapper.transport.guard import is_botocores
from dynamodb_wrapper.transport.parsing import methods_of

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
    if _is_a(JSONSerializer, serializer):
        serializer.serialize_to_request = _Serializing(serializer, parsing)
    if _is_a(useragent.UserAgentString, creator) and _modifies_no_user_agents():
        creator.to_string = _UserAgent(creator)
    if _is_a(RequestSigner, signer) and all(map(is_botocores, _signing_functions())):
        signer.get_auth_instance = _Signing(signer.get_auth_instance)


def _is_a(cls: type, found: object) -> bool:
    """Whether something is of a class of botocore's, and that one as it was made."""
    return type(found) is cls and all(map(is_botocores, methods_of(cls)))


# --- bodies -----------------------------------------------------------------------------------------------------------


class _Serializing:
    """Makes requests of parameters: of a call's that nobody else sees, without looking up what each value is."""

    def __init__(self, serializer: Any, parsing: Parsing) -> None:
        self._plainly = serializer.serialize_to_request
        self._parsing = parsing
        self._empty: dict[str, dict[str, Any]] = {}

    def __call__(self, parameters: dict[str, Any], operation_model: OperationModel) -> dict[str, Any]:
        """Return what botocore's serializer does, give or take white space in the body."""
        operation = operation_model.name
        current = self._parsing.unseen(operation)
        if current is None:
            request: dict[str, Any] = self._plainly(parameters, operation_model)
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
    modify = getattr(useragent, "modify_components", None)  # those who build botocore anew may have another one
    return getattr(modify, "__module__", None) == useragent.__name__ and is_botocores(modify)


class _UserAgent:
    """The text of ``User-Agent``, which botocore puts together twice for each request."""

    def __init__(self, creator: Any) -> None:
        self._creator = creator
        self._make = creator.to_string
        self._config = creator._client_config
        self._context = getattr(useragent, "get_context", lambda: None)  # since botocore 1.37
        self._known: tuple[object, str] = (None, "")

    def __call__(self) -> str:
        """Return the text, made anew when what changes in it is another."""
        context, config = self._context(), self._config
        features = None if context is None else frozenset(context.features)
        depends_on = features, config.user_agent, config.user_agent_extra, config.user_agent_appid
        known, text = self._known
        if depends_on != known:
            text = self._make()
            self._known = depends_on, text
        return text


# --- signatures -------------------------------------------------------------------------------------------------------


def _signing_functions() -> tuple[object, ...]:
    """Return what `_SigV4` takes the place of."""
    cls = _auth.SigV4Auth
    return cls.canonical_request, cls.headers_to_sign, cls.signature, cls._inject_signature_to_request


class _Signing:
    """Gives what signs a request, and keeps what is the same for the next one; safe under threads.

    Attributes:
        key: What the signing key of a day was made from, and that key.
        url: The last request's, and what a signature has of it: path, query, host.
    """

    def __init__(self, get_auth_instance: Any) -> None:
        self._get = get_auth_instance
        self._functions = _signing_functions()
        self.key: tuple[object, bytes] = (None, b"")
        self.url: tuple[str, tuple[str, str, str]] = ("", ("", "", ""))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what botocore returns, or a quicker one of those that sign headers with Signature Version 4."""
        plain: Any = self._get(*args, **kwargs)
        if type(plain) is not auth.SigV4Auth or _signing_functions() != self._functions:
            return plain
        return _SigV4(self, plain)


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
