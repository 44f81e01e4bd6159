"""Where requests go: as a botocore client would send them, and how that is known without one.

Loading botocore and making a client take longer than everything else until the first answer. Where the configuration
says by itself what botocore would do, neither is needed.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dynamodb_wrapper.config import DynamoDBConfig


@dataclass(frozen=True, slots=True)
class Place:
    """Where botocore would send requests, and how it would sign them.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Without brackets.
        port: Always known.
        path: At least ``/``.
        region: Signed for.
        service: Signed for.
        ca_bundle: The file or directory of the certificates to trust.
        is_by_account: Whether another account's requests go to another place.
        app_id: What the user calls the application in ``User-Agent``, or None.
    """

    scheme: str
    host: str
    port: int
    path: str
    region: str
    service: str
    ca_bundle: str
    is_by_account: bool
    app_id: str | None


class UnknownPlaceError(Exception):
    """The place is not known in this way; the message says why."""


PLAIN_PATH = r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?"
"""A path of which there is one way to sign it, as a regular expression."""

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PLAIN_URL = re.compile(rf"(https?)://({_LABEL}(?:\.{_LABEL})*)(?::([0-9]{{1,5}}))?({PLAIN_PATH})")

_REGIONS = (
    (re.compile(r"(?:us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-[0-9]+"), "amazonaws.com"),
    (re.compile(r"cn-[a-z]+-[0-9]+"), "amazonaws.com.cn"),
    (re.compile(r"us-gov-[a-z]+-[0-9]+"), "amazonaws.com"),
)
"""The regions of the partitions aws, aws-cn and aws-us-gov; botocore knows special ones, such as ``local``."""

_HARMLESS = frozenset(
    (
        # What the configuration has decided: keys and region come from it, and keys of its own have no account.
        "AWS_ACCESS_KEY_ID",
        "AWS_ACCOUNT_ID",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        # What is looked at here, too.
        "AWS_CA_BUNDLE",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        # Other sources of credentials, which botocore does not ask where it is given keys.
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        # For the name that botocore calls itself by, and which the direct lane does not take.
        "AWS_EXECUTION_ENV",
    )
)
"""The variables that do not change where requests go; any other one of AWS's or botocore's may."""

_OF_OTHERS = ("AWS_LAMBDA_", "AWS_XRAY_")
"""What the names of variables begin with that the Lambda runtime and X-Ray read, and botocore does not."""

_CA_BUNDLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
"""The variables that name the certificates to trust, the stronger first."""

_FILES = (
    ("AWS_CONFIG_FILE", "~/.aws/config"),
    ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
    ("", "~/.aws/models"),
)
"""What botocore reads where it exists, and the variable that says where; the last is of models of services."""


class StaticKeys:
    """Credentials that a configuration has itself; they do not change."""

    __slots__ = ("access_key", "secret_key", "token")

    def __init__(self, access_key: str, secret_key: str, token: str | None) -> None:
        self.access_key = access_key
        self.secret_key = secret_key
        self.token = token


def plain_keys(config: DynamoDBConfig) -> StaticKeys:
    """Return what a client of a configuration would sign requests with.

    Raises:
        UnknownPlaceError: Only botocore can tell.
    """
    secret, token = config.aws_secret_access_key, config.aws_session_token
    if config.aws_access_key_id is None or secret is None:
        raise UnknownPlaceError("the configuration has no keys of its own")
    return StaticKeys(
        config.aws_access_key_id, secret.get_secret_value(), None if token is None else token.get_secret_value()
    )


def plain_place(config: DynamoDBConfig, environment: Mapping[str, str]) -> Place:
    """Return where a client of a configuration with keys of its own would send requests.

    Raises:
        UnknownPlaceError: Only botocore can tell.
    """
    _check(config, environment)
    region = config.region_name or ""
    suffix = next((suffix for names, suffix in _REGIONS if names.fullmatch(region)), None)
    if suffix is None:
        raise UnknownPlaceError(f"the region {region!r} is none of those with ordinary endpoints")
    url = _PLAIN_URL.fullmatch(config.endpoint_url or f"https://dynamodb.{region}.{suffix}")
    if url is None:
        raise UnknownPlaceError("the endpoint's URL has more than a host and a plain path")
    scheme, host, port, path = url.groups()
    if config.endpoint_url is not None and host.lower().startswith(("dynamodb.", "search-dynamodb.")):
        raise UnknownPlaceError("botocore refuses some of AWS's own endpoints where they are given as a URL")
    return Place(
        scheme=scheme,
        host=host.lower(),
        port=int(port or (443 if scheme == "https" else 80)),
        path=path or "/",
        region=region,
        service="dynamodb",
        ca_bundle=_ca_bundle(environment) if scheme == "https" else "",
        is_by_account=config.endpoint_url is None,
        app_id=None,
    )


def _check(config: DynamoDBConfig, environment: Mapping[str, str]) -> None:
    """Refuse what only botocore understands, or what it may read and we do not know."""
    if config.is_embedded:
        raise UnknownPlaceError("the server is embedded")
    if config.profile_name is not None:
        raise UnknownPlaceError("the configuration names a profile")
    if sys.platform in ("darwin", "win32"):
        raise UnknownPlaceError("this system has its own settings for proxies")
    for name in environment:
        upper = name.upper()
        is_read = upper.startswith(("AWS_", "BOTO")) and not (name in _HARMLESS or name.startswith(_OF_OTHERS))
        if is_read or (upper.endswith("_PROXY") and upper != "NO_PROXY" and environment[name]):
            raise UnknownPlaceError(f"the environment has {name}")
        if name in _CA_BUNDLES and not environment[name]:
            raise UnknownPlaceError(f"{name} is empty")
    for path in (environment.get(variable, default) for variable, default in _FILES):
        found = os.path.expanduser(os.path.expandvars(path))
        if os.path.isfile(found) or os.path.isdir(found):
            raise UnknownPlaceError(f"there is {path}, which may have settings")


def _ca_bundle(environment: Mapping[str, str]) -> str:
    for given in (environment[name] for name in _CA_BUNDLES if name in environment):
        return given
    try:
        from certifi import where
    except ImportError:
        botocore = find_spec("botocore")
        folders = None if botocore is None else botocore.submodule_search_locations
        return os.path.join(folders[0] if folders else "", "cacert.pem")
    return where()
