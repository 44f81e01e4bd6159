"""Trees and parallel scans under every fault: whole when read, and still trees after a change that failed half-way."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import BaseDynamoRepository, DynamoDBWrapperError, ParentPattern
from tests import servers
from tests.contract.shop import PlainOrders, order
from tests.faults import rules
from tests.faults.bench import Bench
from tests.faults.proxy import Fault

FAULTS = (*rules.REFUSALS, *rules.BROKEN_BEFORE, *rules.BROKEN_AFTER)
FANOUT, LEVELS = 3, 3

pytestmark = pytest.mark.skipif("ministack" not in servers.chosen(), reason="moto ignores client tokens")


class Note(BaseModel):
    id: str
    parent: str | None = None


class Notes(BaseDynamoRepository[Note]):
    table_name = "notes"
    primary_key = "id"
    children = ParentPattern("by_parent", parent="parent")


class Leaves(PlainOrders):
    """A table that is only read here."""

    table_name = "leaves"


LEAVES = [f"o{number:02}" for number in range(60)]


def each(faults: tuple[Fault, ...]) -> Any:
    return pytest.mark.parametrize("fault", [pytest.param(fault, id=fault.name) for fault in faults])


@pytest.fixture(autouse=True, scope="module")
def _tables(module_bench: Bench) -> None:
    module_bench.behind(Notes).ensure_table()
    module_bench.behind(Leaves).ensure_table()
    module_bench.behind(Leaves).put_many([order(f"c{number % 7}", name) for number, name in enumerate(LEAVES)])


def planted(bench: Bench) -> tuple[str, set[str]]:
    """A tree of three levels; its root, and all its nodes."""
    root = uuid4().hex
    level, nodes = [root], [Note(id=root)]
    for _ in range(1, LEVELS):
        children = [Note(id=f"{parent}.{number}", parent=parent) for parent in level for number in range(FANOUT)]
        level, nodes = [child.id for child in children], nodes + children
    bench.behind(Notes).put_many(nodes)
    return root, {node.id for node in nodes}


def ids(tree: Any) -> set[str]:
    return {tree.item.id}.union(*map(ids, tree.children))


@each((*FAULTS, rules.emptied()))
def test_a_tree_is_whole_whatever_its_queries_meet(bench: Bench, fault: Fault) -> None:
    root, nodes = planted(bench)
    bench.proxy.inject(fault, "GetItem")
    bench.proxy.inject(fault, "Query", times=3)
    assert ids(bench.through(Notes).read_tree(root)) == nodes


@each((rules.throttle(), rules.reset(applied=False), rules.corrupt(), rules.emptied()))
def test_a_tree_that_cannot_be_read_is_an_error_and_not_a_smaller_tree(bench: Bench, fault: Fault) -> None:
    root, _ = planted(bench)
    bench.proxy.inject(fault, "Query", skip=2, times=None)
    with pytest.raises(DynamoDBWrapperError):
        bench.through(Notes).read_tree(root)


@each(FAULTS)
def test_a_subtree_is_deleted_whatever_fails_on_the_way(bench: Bench, fault: Fault) -> None:
    root, nodes = planted(bench)
    for operation in ("Query", "DeleteItem", "BatchWriteItem", "TransactWriteItems"):
        bench.proxy.inject(fault, operation, skip=1, times=2)
    bench.through(Notes).delete_subtree(f"{root}.1")
    assert ids(bench.behind(Notes).read_tree(root)) == {node for node in nodes if not node.startswith(f"{root}.1")}


@pytest.mark.parametrize("skip", range(0, 8, 2))
@each((rules.throttle(), rules.server_error(applied=True)))
def test_a_delete_that_failed_leaves_a_tree_and_finishes_when_run_again(bench: Bench, fault: Fault, skip: int) -> None:
    root, nodes = planted(bench)
    for operation in ("DeleteItem", "BatchWriteItem", "TransactWriteItems"):
        bench.proxy.inject(fault, operation, skip=skip, times=None)
    with pytest.raises(DynamoDBWrapperError):
        bench.through(Notes).delete_subtree(root)
    bench.proxy.settle()
    left = {node for node in nodes if bench.behind(Notes).exists(node)}
    assert ids(bench.behind(Notes).read_tree(root)) == left, "some nodes hang nowhere"
    bench.proxy.calm()
    bench.through(Notes).delete_subtree(root)
    assert not any(bench.behind(Notes).exists(node) for node in nodes)


@each(FAULTS)
def test_a_subtree_is_moved_whole(bench: Bench, fault: Fault) -> None:
    root, nodes = planted(bench)
    bench.proxy.inject(fault, "TransactWriteItems", times=2)
    bench.proxy.inject(fault, "GetItem")
    bench.through(Notes).move_subtree(f"{root}.1", f"{root}.2")
    assert bench.behind(Notes).get_or_raise(f"{root}.1").parent == f"{root}.2"
    assert ids(bench.behind(Notes).read_tree(root)) == nodes


def test_a_move_waits_out_a_conflict(bench: Bench) -> None:
    root, nodes = planted(bench)
    bench.proxy.inject(rules.cancelled("TransactionConflict"), "TransactWriteItems", times=2)
    bench.through(Notes).move_subtree(f"{root}.1", f"{root}.2")
    assert ids(bench.behind(Notes).read_tree(root)) == nodes


@each((*FAULTS, rules.emptied()))
def test_a_parallel_scan_gives_every_item_once(bench: Bench, fault: Fault) -> None:
    bench.proxy.inject(fault, "Scan", times=2)
    bench.proxy.inject(fault, "Scan", skip=2)
    assert sorted(one.order_id for one in bench.through(Leaves).parallel_scan(3).page_size(20)) == LEAVES


@each((rules.throttle(), rules.reset(applied=False), rules.corrupt()))
def test_a_parallel_scan_that_fails_goes_on_from_its_checkpoint(bench: Bench, fault: Fault) -> None:
    leaves, found = bench.through(Leaves), []
    scan = leaves.parallel_scan(3).page_size(5)
    bench.proxy.inject(fault, "Scan", skip=6, times=None)
    with pytest.raises(DynamoDBWrapperError):
        found.extend(one.order_id for one in scan)
    bench.proxy.calm()
    rest = leaves.parallel_scan(3, checkpoint=scan.checkpoint).page_size(5)
    assert sorted([*found, *(one.order_id for one in rest)]) == LEAVES
