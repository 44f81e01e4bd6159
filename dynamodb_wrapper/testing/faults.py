"""The bad days of DynamoDB, for tests: which requests a fault is for, and what becomes of them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, get_args

from dynamodb_wrapper.operations.effects import Call
from dynamodb_wrapper.repositories.foundation import RepositoryFoundation
from dynamodb_wrapper.testing import injections
from dynamodb_wrapper.testing.clock import Clock
from dynamodb_wrapper.testing.injections import Injection
from dynamodb_wrapper.transport.failures import tables_of

Table = RepositoryFoundation[Any] | str | None
"""A repository, the physical name of a table, or None for every table."""
Operation = Literal[
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
    "CreateTable",
    "DeleteTable",
    "DescribeTable",
    "ListTables",
    "UpdateTable",
    "DescribeTimeToLive",
    "UpdateTimeToLive",
    "DescribeContinuousBackups",
    "UpdateContinuousBackups",
]
"""DynamoDB's names of what is sent."""

_OPERATIONS = frozenset(get_args(Operation))
_BATCHES = frozenset(("BatchGetItem", "BatchWriteItem"))
_TRANSACTIONS = frozenset(("TransactGetItems", "TransactWriteItems"))
_SINGLE_WRITES = frozenset(("PutItem", "UpdateItem", "DeleteItem"))


def _check_seconds(name: str, seconds: float) -> None:
    if not 0 <= seconds < inf:
        raise ValueError(f"{name} is {seconds}: a time to wait is finite, and not below zero")


@dataclass
class Fault:
    """A fault that was set.

    Attributes:
        name: What it does.
        operations: The operations that it can befall.
        table_name: The only table whose requests it befalls, or None.
        skip: How many such requests pass first.
        times: How many more it befalls; None for all.
        befell: How many it has befallen so far.
    """

    name: str
    injection: Injection
    operations: frozenset[str]
    table_name: str | None = None
    skip: int = 0
    times: int | None = 1
    befell: int = 0

    def __str__(self) -> str:
        where = "" if self.operations == _OPERATIONS else f" on {' or '.join(sorted(self.operations))}"
        table = f" of table {self.table_name!r}" if self.table_name else ""
        asked = "always" if self.times is None else f"{self.befell + self.times} times"
        return f"{self.name}{where}{table}: was to happen {asked}, and happened {self.befell} times"

    @property
    def is_used_up(self) -> bool:
        """Whether it has befallen as many requests as it was set for; of one without a number, whether any."""
        return not self.times if self.times is not None else self.befell > 0

    def takes(self, call: Call) -> bool:
        """Return whether it befalls this call, and count it."""
        if self.times == 0 or call.operation not in self.operations:
            return False
        if self.table_name is not None and self.table_name not in tables_of(call):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        self.befell += 1
        return True


class Faults:
    """Sets what befalls the next requests of a test.

    Every method takes how many requests it is for (``times``, default 1; None for all from now on), and as keywords
    ``skip``, how many such requests pass first, and mostly:

    - ``operation``: DynamoDB's name of the requests it is for; left out, whichever comes.
    - ``table``: the repository, or physical table name, that it is for.

    Each attempt is a request, so ``throttle(2)`` with the usual three retries is survived, and ``throttle(None)`` is
    not. Where several faults fit, the one that was set first counts. At the end of the test, a fault that did not
    happen as often as it was set makes the test fail.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    # --- refusals: nothing is applied -------------------------------------------------------------------------------

    def throttle(
        self,
        times: int | None = 1,
        *,
        operation: Operation | None = None,
        table: Table = None,
        skip: int = 0,
        retry_after_seconds: float | None = None,
    ) -> Fault:
        """Refuse requests with ``ProvisionedThroughputExceededException``.

        With ``retry_after_seconds``, DynamoDB says in a header how long to wait.
        """
        if retry_after_seconds is not None:
            _check_seconds("retry_after_seconds", retry_after_seconds)
        injection = injections.throttled(retry_after_seconds)
        return self._set("throttle", injection, times, operation, table, skip)

    def unavailable(
        self, times: int | None = 1, *, operation: Operation | None = None, table: Table = None, skip: int = 0
    ) -> Fault:
        """Refuse requests with status 503."""
        injection = injections.refused("ServiceUnavailable", "Service is unavailable.", status=503)
        return self._set("unavailable", injection, times, operation, table, skip)

    def conflict(
        self, times: int | None = 1, *, operation: Operation | None = None, table: Table = None, skip: int = 0
    ) -> Fault:
        """Let another transaction hold the item: of a single write, and of the first action of a transaction."""
        possible = _SINGLE_WRITES | _TRANSACTIONS
        return self._set("conflict", injections.conflicting, times, operation, table, skip, possible)

    def cancel_transaction(self, *codes: str, times: int | None = 1, skip: int = 0) -> Fault:
        """Cancel transactions, for a reason per action; there may be fewer codes than actions.

        The codes are AWS's: ``"ConditionalCheckFailed"``, ``"TransactionConflict"``, ``"ThrottlingError"``,
        ``"ProvisionedThroughputExceeded"``, ``"RequestLimitExceeded"``, ``"ItemCollectionSizeLimitExceeded"`` and
        ``"ValidationError"``; ``"None"`` is for an action that is not to blame.
        """
        known = ("None", *injections.CANCELLATIONS)
        if not set(codes) - {"None"} or not set(codes) <= set(known):
            raise ValueError(f"the codes are {codes}: one of them is to blame, and all are of {', '.join(known)}")
        name = f"cancel_transaction({', '.join(codes)})"
        return self._set(name, injections.cancelled(*codes), times, None, None, skip, _TRANSACTIONS)

    def refuse(
        self,
        code: str,
        message: str = "",
        *,
        status: int = 400,
        times: int | None = 1,
        operation: Operation | None = None,
        skip: int = 0,
    ) -> Fault:
        """Refuse requests with any of AWS's codes, for example ``"AccessDeniedException"``."""
        if not 400 <= status <= 599:
            raise ValueError(f"status is {status}: a refusal has one from 400 to 599")
        injection = injections.refused(code, message, status=status)
        return self._set(f"refuse({code!r})", injection, times, operation, None, skip)

    def refuse_connection(
        self, times: int | None = 1, *, operation: Operation | None = None, table: Table = None, skip: int = 0
    ) -> Fault:
        """Let nobody listen at the endpoint."""
        return self._set("refuse_connection", injections.not_connected, times, operation, table, skip)

    # --- lost answers: the request may have been applied ------------------------------------------------------------

    def lose_response_of(
        self, operation: Operation | None = None, times: int | None = 1, *, table: Table = None, skip: int = 0
    ) -> Fault:
        """Apply requests, and break the connection before their answers arrive."""
        return self._set("lose_response_of", injections.cut_off(applied=True), times, operation, table, skip)

    def lose_request_of(
        self, operation: Operation | None = None, times: int | None = 1, *, table: Table = None, skip: int = 0
    ) -> Fault:
        """Break the connection before DynamoDB has the requests; the library cannot tell this from a lost answer."""
        return self._set("lose_request_of", injections.cut_off(applied=False), times, operation, table, skip)

    def damage_response_of(
        self, operation: Operation | None = None, times: int | None = 1, *, table: Table = None, skip: int = 0
    ) -> Fault:
        """Apply requests, and turn a bit of their answers over on the way."""
        return self._set("damage_response_of", injections.damaged, times, operation, table, skip)

    def server_error(
        self,
        times: int | None = 1,
        *,
        applied: bool = False,
        operation: Operation | None = None,
        table: Table = None,
        skip: int = 0,
    ) -> Fault:
        """Answer requests with status 500, which does not tell whether they were ``applied``."""
        return self._set("server_error", injections.failed(applied=applied), times, operation, table, skip)

    # --- time -------------------------------------------------------------------------------------------------------

    def time_out(
        self,
        times: int | None = 1,
        *,
        applied: bool = False,
        operation: Operation | None = None,
        table: Table = None,
        skip: int = 0,
    ) -> Fault:
        """Never answer requests, whether or not they are ``applied``.

        Nobody waits: the test's clock is moved by as long as the library would have waited.
        """
        injection = injections.late(None, applied=applied, passes=self._clock.move)
        return self._set("time_out", injection, times, operation, table, skip)

    def slow(
        self,
        seconds: float,
        times: int | None = 1,
        *,
        operation: Operation | None = None,
        table: Table = None,
        skip: int = 0,
    ) -> Fault:
        """Answer requests so many seconds late, by which the test's clock is moved.

        If the library does not wait so long, the request is applied and its answer is lost.
        """
        _check_seconds("seconds", seconds)
        injection = injections.late(seconds, applied=True, passes=self._clock.move)
        return self._set(f"slow({seconds:g})", injection, times, operation, table, skip)

    # --- answers that are whole, but not what was hoped for ---------------------------------------------------------

    def leave_unprocessed(
        self,
        entries: int | None = None,
        times: int | None = 1,
        *,
        operation: Operation | None = None,
        table: Table = None,
        skip: int = 0,
    ) -> Fault:
        """Do a part of batches only: so many entries, the last ones, come back as not processed; None for all."""
        if entries is not None and entries < 1:
            raise ValueError(f"entries is {entries}: at least one has to be left over")
        injection = injections.left_over(entries)
        return self._set("leave_unprocessed", injection, times, operation, table, skip, _BATCHES)

    # --- all of them ------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> list[Fault]:
        """Those that have not happened as often as they were set."""
        return [fault for fault in self._faults if not fault.is_used_up]

    def clear(self) -> None:
        """Forget all faults, used or not: every request goes through."""
        with self._lock:
            self._faults.clear()

    def unused(self) -> str | None:
        """Return what is wrong with faults that did not happen as often as they were set; None when all did."""
        if not (pending := self.pending):
            return None
        lines = "\n".join(f"  {fault}" for fault in pending)
        return (
            f"faults were set that did not happen, so this test does not show what it seems to:\n{lines}\n"
            "Set them for requests that are really sent, or drop them with dynamodb_faults.clear()."
        )

    def take(self, call: Call) -> Fault | None:
        """Return the fault that befalls a call, or None."""
        with self._lock:
            return next((fault for fault in self._faults if fault.takes(call)), None)

    def _set(
        self,
        name: str,
        injection: Injection,
        times: int | None,
        operation: str | None,
        table: Table,
        skip: int,
        possible: frozenset[str] = _OPERATIONS,
    ) -> Fault:
        if times is not None and (type(times) is not int or times < 1):
            raise ValueError(f"times is {times!r}: a fault happens a whole number of times, or (None) every time")
        if type(skip) is not int or skip < 0:
            raise ValueError(f"skip is {skip!r}: so many requests cannot pass first")
        if operation is not None and operation not in possible:
            raise ValueError(f"{name} cannot befall {operation!r}; it can befall {', '.join(sorted(possible))}")
        if not (table is None or isinstance(table, (str, RepositoryFoundation))):
            raise ValueError(f"table is {table!r:.80}: give a repository (its class has no configuration) or a name")
        table_name = str(table.table_name) if isinstance(table, RepositoryFoundation) else table
        operations = possible if operation is None else frozenset((operation,))
        fault = Fault(name, injection, operations, table_name, skip, times)
        with self._lock:
            self._faults.append(fault)
        return fault
