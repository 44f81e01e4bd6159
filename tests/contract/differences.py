"""What a server cannot do, in one table.

AWS's documented behaviour is ours. A case that a server answers differently is listed here, under the server's name
and the case's: the name of the test function, or the one in its ``@pytest.mark.case("...")``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """Why a server fails a case.

    Attributes:
        reason: What the server does instead.
        every_time: The case runs and must fail, so that the entry goes when the server improves. False skips it: for a
            case that fails now and then, hangs, or does harm.
    """

    reason: str
    every_time: bool = True


DIFFERENCES: dict[tuple[str, str], Difference] = {
    **{
        (server, case): Difference(reason)
        for server in ("moto", "embedded")
        for case, reason in (
            ("test_a_hundred_are_read_together", "takes 25 gets in a transaction; AWS takes 100"),
            (
                "test_a_stream_of_another_kind_is_made_anew_when_asked",
                "refuses a stream for a table that ever had one, as if it had it still",
            ),
            ("test_encryption", "ignores SSESpecification in UpdateTable"),
            ("test_the_table_class", "has no table classes"),
            ("test_on_demand_maxima", "ignores OnDemandThroughput"),
        )
    },
    ("moto", "test_a_token_makes_a_transaction_happen_once"): Difference(
        "ignores client request tokens: a repeated transaction is applied again"
    ),
    **{
        ("ministack", case): Difference(reason)
        for case, reason in (
            ("test_continuous_backups_of_fewer_days", "ignores RecoveryPeriodInDays"),
            ("test_warm_throughput_is_raised_and_never_lowered", "ignores WarmThroughput"),
        )
    },
}
