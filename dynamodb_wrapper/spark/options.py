"""The options of the format ``dynamodb``: read once, checked, and shipped to the tasks as values.

Nothing secret is among them. Options stand in query plans, in the event log and on Spark's web pages; so credentials
are those that each worker finds (environment, instance or task role, profile), or that a function named by ``config``
makes there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, cast, get_args

from dynamodb_wrapper.exceptions import ValidationError

WriteMode = Literal["put", "insert_only", "update", "delete"]
Nulls = Literal["remove", "null", "skip"]
OnMismatch = Literal["fail", "null", "quarantine"]
OnRejected = Literal["fail", "quarantine"]
StartingPosition = Literal["latest", "trim_horizon"]
OnTrimmed = Literal["fail", "continue"]

MAX_SEGMENTS = 1_000_000
_SPARKS_OWN = ("checkpointlocation", "queryname")
"""What Spark hands to a streaming sink along with its options."""
_SECRET = ("secret", "password", "token", "access_key", "accesskey", "credential")


@dataclass(frozen=True)
class Options:
    """What was asked for; every attribute is an option of the same name.

    Attributes:
        table: The physical table, or its ARN; ``load("orders")`` and ``save("orders")`` say the same.
        repository: ``"module:Repository"``: table, keys and schema are the repository's.
        model: ``"module:Model"``: the schema is the model's.
        config: ``"module:function"``, called without arguments in every process that talks to DynamoDB, returns a
            `DynamoDBConfig`; without it, that of the environment.
        endpoint_url: Another address than AWS's.
        region: The region.
        partition_key: The attribute of the table's partition key. With it, planning makes no DescribeTable, except
            for an index.
        sort_key: The attribute of the table's sort key; none, where ``partition_key`` stands alone.
        index: The index to read.
        consistent: Whether reads are strongly consistent.
        segments: Into how many segments a scan is cut; None for four for each task.
        tasks: How many tasks a scan has at most; None for as many as the cluster runs at a time.
        pushdown: Whether DynamoDB applies what it can of Spark's filters, where Spark is set to push them. Spark 4.1 to
            4.3 keeps what was pushed for one query with the frame, and reads the next one with it: so only for frames
            that are used in a single query.
        prefetch: How many segments or queries a task reads at a time, each one page ahead.
        page_size: How many items a request evaluates at most; None for DynamoDB's own limit of 1 MB.
        on_mismatch: What becomes of a value that its column cannot hold: ``fail`` names it, ``null`` reads null,
            ``quarantine`` writes its item under ``quarantine`` instead.
        sample: How many items the schema is inferred from, where none is given.
        starting_position: Makes the source that of changes, for ``readStream``: from ``latest`` or from
            ``trim_horizon`` on, where there is no checkpoint yet.
        on_trimmed: What becomes of a streaming query when changes were lost from the stream before it read them: it is
            to ``fail``, or to ``continue``, counting a gap.
        max_records: About how many changes a micro-batch has at most; a shard gives at least one.
        poll_seconds: How long to wait after there were no changes.
        write_mode: ``put`` replaces whole items, ``insert_only`` never replaces one, ``update`` changes the columns'
            attributes only, ``delete`` deletes the items with these keys.
        nulls: What a null of an ``update`` does: ``remove`` the attribute, store ``null``, or ``skip`` it.
        upsert: Whether an ``update`` makes an item where there is none; else its row is rejected.
        in_flight: How many requests of a task are on their way at a time.
        overwrite: ``replace_items`` lets Spark's mode "overwrite" through, as ``put``: nothing else is deleted.
        on_rejected: What becomes of rows that cannot be written: ``fail`` the task once the others are written, or
            write them under ``quarantine``.
        quarantine: Where what was not read or written goes: a folder, or a URI of a filesystem that pyarrow knows.
        capacity: The most capacity units a second that the whole job is to consume.
        capacity_percent: The same as a percentage of the table's (or index's) provisioned capacity.
        hosts: On how many machines the tasks run, among which the capacity is divided.
        metrics: ``"module:function"``, called as ``function(report, config)`` with a `TaskReport` after each task, and
            with a `JobReport` after a write.
        metrics_path: A folder or URI where these reports are written as JSON.
        run_id: What the reports are to carry along, to tell whose they are.
    """

    table: str | None = None
    repository: str | None = None
    model: str | None = None
    config: str | None = None
    endpoint_url: str | None = None
    region: str | None = None
    partition_key: str | None = None
    sort_key: str | None = None
    index: str | None = None
    consistent: bool = False
    segments: int | None = None
    tasks: int | None = None
    pushdown: bool = False
    prefetch: int = 2
    page_size: int | None = None
    on_mismatch: OnMismatch = "fail"
    sample: int = 1000
    starting_position: StartingPosition | None = None
    on_trimmed: OnTrimmed = "fail"
    max_records: int = 10_000
    poll_seconds: float = 1.0
    write_mode: WriteMode = "put"
    nulls: Nulls = "remove"
    upsert: bool = False
    in_flight: int = 12
    overwrite: Literal["replace_items"] | None = None
    on_rejected: OnRejected = "fail"
    quarantine: str | None = None
    capacity: float | None = None
    capacity_percent: float | None = None
    hosts: int | None = None
    metrics: str | None = None
    metrics_path: str | None = None
    run_id: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Options:
        """Return the options as Spark gives them: texts, their names in any case, ``path`` among them.

        Raises:
            ValidationError: One is unknown, secret or wrong, or two do not go together; names them.
        """
        values = {name.lower(): value for name, value in given.items() if name.lower() not in _SPARKS_OWN}
        if (path := values.pop("path", None)) is not None and values.setdefault("table", path) != path:
            raise _wrong("table", f"is {values['table']!r}, and the path is {path!r}: name one table")
        known = {field.name for field in fields(cls)}
        for name in sorted(values.keys() - known):
            if any(word in name for word in _SECRET):
                raise _wrong(name, _NO_SECRETS)
            raise _wrong(name, f"is unknown; known are: {', '.join(sorted(known))}")
        options = cls(**{name: _READERS.get(name, _text)(name, value) for name, value in values.items()})
        options._check()
        return options

    def _check(self) -> None:
        if self.repository is not None and (self.table is not None or self.model is not None):
            raise _wrong("repository", "names table and model already; leave those two out")
        if self.table is None and self.repository is None:
            raise _wrong("table", 'is missing: load("table"), option("table", ...) or option("repository", ...)')
        if self.sort_key is not None and self.partition_key is None:
            raise _wrong("sort_key", "is given without partition_key")
        if self.capacity is not None and self.capacity_percent is not None:
            raise _wrong("capacity", "and capacity_percent are given: choose one")
        for option, value in (("on_mismatch", self.on_mismatch), ("on_rejected", self.on_rejected)):
            if value == "quarantine" and self.quarantine is None:
                raise _wrong(option, 'is "quarantine", and option("quarantine", folder) does not say where')
        if self.endpoint_url is not None and self.endpoint_url.startswith("embedded:"):
            raise _wrong("endpoint_url", "is the server inside one process, which Spark's workers cannot reach")
        if self.segments is not None and self.segments > MAX_SEGMENTS:
            raise _wrong("segments", f"is {self.segments:,}; AWS allows {MAX_SEGMENTS:,}")


_NO_SECRETS = (
    "would be secret, and options are shown in plans and logs. Workers take the credentials that they find "
    '(environment, role, profile); option("config", "module:function") names a function that makes another one'
)


def _wrong(name: str, problem: str) -> ValidationError:
    return ValidationError(f"option {name!r} {problem}", {name: problem})


def _text(name: str, value: str) -> Any:
    if not value.strip():
        raise _wrong(name, "is empty")
    return value


def _flag(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise _wrong(name, f"is {value!r}: must be true or false")
    return value.lower() == "true"


def _whole(name: str, value: str) -> int:
    if not value.strip().isdecimal() or int(value) < 1:
        raise _wrong(name, f"is {value!r}: must be a whole number, 1 or more")
    return int(value)


def _positive(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise _wrong(name, f"is {value!r}: must be a number above 0")
    return number


def _percent(name: str, value: str) -> float:
    number = _positive(name, value)
    if number > 100:
        raise _wrong(name, f"is {value!r}: must be a percentage, at most 100")
    return number


def _one_of(choices: object) -> Callable[[str, str], Any]:
    allowed = cast("tuple[str, ...]", get_args(choices))

    def read(name: str, value: str) -> str:
        if value.lower() not in allowed:
            raise _wrong(name, f"is {value!r}: must be one of {', '.join(allowed)}")
        return value.lower()

    return read


_READERS: dict[str, Callable[[str, str], Any]] = {
    "consistent": _flag,
    "pushdown": _flag,
    "upsert": _flag,
    **dict.fromkeys(
        ("segments", "tasks", "prefetch", "page_size", "sample", "max_records", "in_flight", "hosts"), _whole
    ),
    "starting_position": _one_of(StartingPosition),
    "on_trimmed": _one_of(OnTrimmed),
    "poll_seconds": _positive,
    "capacity": _positive,
    "capacity_percent": _percent,
    "on_mismatch": _one_of(OnMismatch),
    "write_mode": _one_of(WriteMode),
    "nulls": _one_of(Nulls),
    "overwrite": _one_of(Literal["replace_items"]),
    "on_rejected": _one_of(OnRejected),
}
