"""The soak program, for a few seconds; `python -m tests.faults.soak` runs it for longer. It needs item locks."""

from __future__ import annotations

import pytest

from tests import servers
from tests.faults.bench import LANES
from tests.faults.soak import Told, soak


@pytest.mark.timeout(600)
@pytest.mark.parametrize("lane", LANES, ids="-".join)
def test_nothing_is_lost_or_doubled_under_random_faults(
    ministack_server: servers.RunningServer, lane: tuple[str, str]
) -> None:
    skin, transport = lane
    report = soak(
        ministack_server,
        skin=skin,
        transport=transport,
        seconds=5,
        threads=8,
        seed=1,
        fault_rate=0.1,
        at_least=800,  # a busy machine does little in 5 seconds
    )
    assert report.is_clean, str(report)
    assert report.faults.total() > 20, str(report)
    told = sum(report.told.values(), start=type(report.faults)())
    assert min(told[kind] for kind in (Told.ACKNOWLEDGED, Told.REFUSED, Told.UNKNOWN)) > 0, str(report)
