"""The flows of runs, driven by hand: what other writers and the network do between two requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dynamodb_wrapper.exceptions import BatchIncompleteError, ConditionFailedError
from dynamodb_wrapper.models import PipelineRunEvent, PipelineRunLog, RunStatus
from dynamodb_wrapper.operations import run_messages, runs
from dynamodb_wrapper.operations.effects import Call, Flow, Now, Params, Sleep, Together
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.repositories import PipelineRunEventsRepository, PipelineRunLogsRepository
from tests.servers import Embedded

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
Answer = Callable[[Params], dict[str, Any]]


@pytest.fixture
def repository() -> PipelineRunLogsRepository:
    return PipelineRunLogsRepository(Embedded().config("unit"))


@pytest.fixture
def logs(repository: PipelineRunLogsRepository) -> Entity[PipelineRunLog]:
    return repository._entity


@pytest.fixture
def events(repository: PipelineRunLogsRepository) -> Entity[PipelineRunEvent]:
    assert isinstance(repository.events, PipelineRunEventsRepository)
    return repository.events._entity


def run_log(run_id: str = "r1", **fields: Any) -> PipelineRunLog:
    return PipelineRunLog(run_id=run_id, pipeline_id="p1", trigger_type="manual", **{"status": "running", **fields})


class Script:
    """Answers the calls of a flow one after the other, and keeps them."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self._answers: Iterator[dict[str, Any] | Exception] = iter(answers)
        self.calls: list[Call] = []
        self.pauses: list[float] = []

    def run(self, flow: Flow[Any]) -> Any:
        try:
            effect = next(flow)
            while True:
                if isinstance(effect, Call):
                    self.calls.append(effect)
                    answer = next(self._answers)
                    effect = flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)
                elif isinstance(effect, Sleep):
                    self.pauses.append(effect.seconds)
                    effect = flow.send(None)
                elif isinstance(effect, Together):
                    effect = flow.send([self.run(each) for each in effect.flows])
                else:
                    assert isinstance(effect, Now)
                    effect = flow.send(NOW)
        except StopIteration as end:
            return end.value

    @property
    def operations(self) -> list[str]:
        return [call.operation for call in self.calls]


def item(entity: Entity[PipelineRunLog], run: PipelineRunLog) -> dict[str, Any]:
    return {"Item": entity.encode(run)}


def changed(entity: Entity[PipelineRunLog], run: PipelineRunLog) -> dict[str, Any]:
    return {"Attributes": entity.encode(run)}


def refused(entity: Entity[PipelineRunLog], run: PipelineRunLog) -> ConditionFailedError:
    return ConditionFailedError("no", item=entity.encode(run))


def test_the_duration_is_of_the_start_that_is_stored_when_it_is_written(logs: Entity[PipelineRunLog]) -> None:
    read, moved = run_log(start_time=NOW - timedelta(hours=1)), run_log(start_time=NOW - timedelta(seconds=5))
    script = Script(item(logs, read), refused(logs, moved), item(logs, moved), changed(logs, moved))
    script.run(runs.change_status(logs, "r1", RunStatus.FAILED, error_message=None, end_time=None, fields={}))
    assert script.operations == ["GetItem", "UpdateItem", "GetItem", "UpdateItem"]
    assert script.calls[0].params["ConsistentRead"] is True
    for call, start, seconds in ((script.calls[1], read.start_time, "3600"), (script.calls[3], moved.start_time, "5")):
        values = list(call.params["ExpressionAttributeValues"].values())
        assert {"N": seconds} in values
        assert {"S": start.isoformat(timespec="microseconds")} in values


def test_a_run_that_gives_a_sign_of_life_meanwhile_is_not_closed(logs: Entity[PipelineRunLog]) -> None:
    silent = {"heartbeat_at": NOW - timedelta(hours=1), "start_time": NOW - timedelta(hours=2)}
    found = [logs.encode(run_log(name, **silent)) for name in ("r1", "r2")]
    start = {"start_time": found[0]["start_time"]}
    script = Script(
        {"Items": []},  # pending
        {"Items": found},
        {"Item": start},
        ConditionFailedError("no", item=found[0]),
        {"Item": start},
        {"Attributes": found[1]},
    )
    closed = script.run(runs.close_stale(logs, pipeline_id=None, silent_seconds=60))
    assert [run.run_id for run in closed] == ["r2"]
    values = script.calls[3].params["ExpressionAttributeValues"].values()
    assert {"S": "running"} in values
    assert found[0]["heartbeat_at"] in values


def test_ending_gives_up_when_the_start_never_rests(logs: Entity[PipelineRunLog]) -> None:
    answers = [answer for _ in range(50) for answer in (item(logs, run_log()), refused(logs, run_log()))]
    script = Script(*answers)
    with pytest.raises(ConditionFailedError) as caught:
        script.run(runs.change_status(logs, "r1", "failed", error_message=None, end_time=None, fields={}))
    assert isinstance(caught.value.item, PipelineRunLog)
    assert len(script.calls) <= 20


def test_a_stage_that_another_writer_adds_first_is_replaced(logs: Entity[PipelineRunLog]) -> None:
    before, after = run_log(stages=[{"stage_name": "a"}]), run_log(stages=[{"stage_name": "a"}, {"stage_name": "b"}])
    script = Script(item(logs, before), refused(logs, after), item(logs, after), changed(logs, after))
    script.run(runs.add_stage(logs, "r1", {"stage_name": "b"}))
    conditions = [call.params["ConditionExpression"] for call in script.calls if call.operation == "UpdateItem"]
    assert ["attribute_not_exists(" in condition for condition in conditions] == [True, False]
    assert script.calls[0].params["ProjectionExpression"].count(",") == 1


def test_a_run_that_changes_its_status_meanwhile_is_one_run(logs: Entity[PipelineRunLog]) -> None:
    as_running, as_success = run_log(start_time=NOW), run_log(start_time=NOW, status="success")
    found = {RunStatus.RUNNING: as_running, RunStatus.SUCCESS: as_success}
    answers = [{"Items": [logs.encode(found[status])] if status in found else []} for status in RunStatus]
    script = Script(*answers)
    assert script.run(runs.recent(logs, pipeline_id=None, hours=1, limit=None)) == [as_success]
    assert script.operations == ["Query"] * len(RunStatus)


class TestMessages:
    def test_contended_messages_become_events(
        self, logs: Entity[PipelineRunLog], events: Entity[PipelineRunEvent]
    ) -> None:
        run = run_log()
        counter = {"Attributes": events.encode(PipelineRunEvent(run_id="r1", sequence=0, last_sequence=41))}
        script = Script(*[refused(logs, run)] * 8, changed(logs, run), counter, {})
        script.run(run_messages.add(logs, events, "r1", ["a"]))
        assert script.operations == ["UpdateItem"] * 10 + ["BatchWriteItem"]
        assert "size" not in script.calls[8].params["ConditionExpression"]
        assert script.calls[9].repeatable, "numbers given out twice are a gap, and a gap does no harm"
        (request,) = script.calls[10].params["RequestItems"][events.table_name]
        assert request["PutRequest"]["Item"]["sequence"] == {"N": "41"}

    def test_leftovers_are_written_again(self, logs: Entity[PipelineRunLog], events: Entity[PipelineRunEvent]) -> None:
        script = Script(*self.answers_until_batch(logs, events, 60), *[{}, self.leftovers(events, 2), {}, {}])
        script.run(run_messages.add(logs, events, "r1", ["x" * 2000] * 60))
        sizes = [len(call.params["RequestItems"][events.table_name]) for call in script.calls[2:]]
        assert sizes == [25, 25, 2, 10]
        assert len(script.pauses) == 1

    def test_what_is_left_in_the_end_is_reported(
        self, logs: Entity[PipelineRunLog], events: Entity[PipelineRunEvent]
    ) -> None:
        left = [self.leftovers(events, 2)] * 50
        script = Script(*self.answers_until_batch(logs, events, 60), {}, *left)
        with pytest.raises(BatchIncompleteError) as caught:
            script.run(run_messages.add(logs, events, "r1", ["x" * 2000] * 60))
        assert len(caught.value.unprocessed) == 12
        assert caught.value.done == 48
        assert isinstance(caught.value.unprocessed[0], PipelineRunEvent)
        assert len(script.calls) < 20

    def test_messages_that_are_not_deleted_are_reported_by_their_keys(
        self, logs: Entity[PipelineRunLog], events: Entity[PipelineRunEvent]
    ) -> None:
        stored = [events.encode(PipelineRunEvent(run_id="r1", sequence=number, message="x")) for number in range(30)]
        keys = [{"DeleteRequest": {"Key": events.key_of(item)}} for item in stored]
        left = {"UnprocessedItems": {events.table_name: keys[3:4]}}
        script = Script({"Attributes": logs.encode(run_log())}, {"Items": stored}, {"Items": []}, *[left] * 11, {})
        with pytest.raises(BatchIncompleteError) as caught:
            script.run(run_messages.delete_run(logs, events, ("r1", None), when=None))
        assert caught.value.unprocessed[0] == {"run_id": "r1", "sequence": 3}
        assert caught.value.context["run_id"] == "r1"
        assert caught.value.done + len(caught.value.unprocessed) == 30

    @staticmethod
    def answers_until_batch(
        logs: Entity[PipelineRunLog], events: Entity[PipelineRunEvent], last: int
    ) -> list[dict[str, Any]]:
        counter = PipelineRunEvent(run_id="r1", sequence=0, last_sequence=last)
        return [changed(logs, run_log()), {"Attributes": events.encode(counter)}]

    @staticmethod
    def leftovers(events: Entity[PipelineRunEvent], count: int) -> dict[str, Any]:
        left = [PipelineRunEvent(run_id="r1", sequence=number, message="x") for number in range(26, 26 + count)]
        requests = [{"PutRequest": {"Item": events.encode(event)}} for event in left]
        return {"UnprocessedItems": {events.table_name: requests}}
