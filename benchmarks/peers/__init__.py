"""The candidates: which they are, and what they need.

Each is a module of this package, imported only in a process and an environment of its own. It has

- ``PACKAGES``: what is installed for it, by whose versions the results are to be read, its own first;
- ``operations(endpoint_url)``: callables by the names of cases, or
- ``async_operations(endpoint_url)``: a coroutine that gives coroutine functions;
- perhaps ``aclose()``: a coroutine function, called at the end,
- perhaps ``stream(endpoint_url, items)``: an iterable of models, and
- perhaps ``repository(endpoint_url, number)``: a get through a repository for a table of its own.

Region and credentials are in the process's environment. A module that cannot do something here raises `SkippedError`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

Operations = Mapping[str, Callable[[], object]]
AsyncOperations = Mapping[str, Callable[[], Awaitable[object]]]


ABSENT = "not in this library"
"""The reason of a `SkippedError` that nobody need hear of."""


class SkippedError(Exception):
    """A candidate cannot be measured; says why."""


@dataclass(frozen=True)
class Peer:
    """A candidate.

    Attributes:
        name: As the command line calls it.
        title: As the table calls it.
        module: In this package.
        environment: Which ``requirements/bench-*.txt`` it needs; empty for that of the benchmark program.
        python: The oldest Python it runs on.
        variables: Added to the environment variables of its processes.
    """

    name: str
    title: str
    module: str
    environment: str = ""
    python: tuple[int, int] = (3, 11)
    variables: Mapping[str, str] = field(default_factory=dict)


TRANSPORT = "BENCHMARK_TRANSPORT"
RAW, BASELINE, ASYNC_BASELINE = "raw", "boto3", "aioboto3"


def ours(transport: str) -> Peer:
    """Return this library over one of its transports."""
    title = f"**dynamodb_wrapper**, transport {transport}"
    return Peer(f"ours-{transport}", title, "ours", variables={TRANSPORT: transport})


OTHERS = (
    Peer(RAW, "raw socket, ready bytes", "raw_socket"),
    Peer("botocore", "botocore client, no model", "botocore_client"),
    Peer(BASELINE, "boto3 Table + Pydantic by hand", "boto3_table"),
    Peer("pynamodb", "PynamoDB", "pynamodb_model", "pynamodb"),
    Peer("dyntastic", "dyntastic", "dyntastic_model", "dyntastic"),
    Peer("pydynox", "pydynox, its own model", "pydynox_model", "pydynox"),
    Peer("pydynox-pydantic", "pydynox + Pydantic", "pydynox_pydantic", "pydynox"),
    Peer("dynamoxy", "dynamoxy, Pydantic model", "dynamoxy_model", "dynamoxy", (3, 12)),
    Peer(ASYNC_BASELINE, "aioboto3 Table + Pydantic by hand", "aioboto3_table", "aioboto3"),
    Peer("aiodynamo", "aiodynamo on aiohttp + Pydantic by hand", "aiodynamo_table", "aiodynamo"),
)
