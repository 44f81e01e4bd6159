"""What a type checker knows of trees and parallel scans: checked by mypy and pyright, both strict, and never run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_type

from pydantic import BaseModel

from dynamodb_wrapper import BaseDynamoRepository, DynamoDBConfig, F, PartialItem, Query
from dynamodb_wrapper.operations.trees import TreeMetadata, TreeNode, TreeWithMetadata
from dynamodb_wrapper.repositories.patterns import ParentPattern
from dynamodb_wrapper.repositories.scanning import ParallelScan


class Message(BaseModel):
    chat: str
    id: str
    answers: str | None = None


class Summary(BaseModel):
    id: str


class Chats(BaseDynamoRepository[Message]):
    table_name = "chats"
    primary_key = "chat"
    sort_key = "id"
    replies = ParentPattern("replies", parent="answers", id="id", within="chat")


chats = Chats(DynamoDBConfig.embedded())


def trees(asked: bool) -> None:
    tree = chats.read_tree(("c", "m"))
    assert_type(tree, TreeNode[Message])
    assert_type(tree.item, Message)
    assert_type(tree.children, list[TreeNode[Message]])
    assert_type(tree.walk(), Iterator[TreeNode[Message]])
    assert_type(tree.levels(), Iterator[list[TreeNode[Message]]])
    result = chats.read_tree(tree.item, max_depth=3, include_metadata=True)
    assert_type(result, TreeWithMetadata[TreeNode[Message]])
    assert_type(result.tree, TreeNode[Message])
    assert_type(result.metadata, TreeMetadata)
    assert_type(
        chats.read_tree(tree.item, include_metadata=asked), TreeNode[Message] | TreeWithMetadata[TreeNode[Message]]
    )
    assert_type(chats.replies("c", "m"), Query[Message])
    assert_type(Chats.replies, ParentPattern)
    assert_type(chats.find_orphans(), Iterator[Message])
    assert_type(chats.move_subtree(("c", "m"), None), Message)
    assert_type(chats.delete_subtree(("c", "m")), int)


def scans() -> None:
    scan = chats.parallel_scan(8, index="replies")
    assert_type(scan, ParallelScan[Message])
    assert_type(scan.where(F.id > "a").page_size(5).consistent(), ParallelScan[Message])
    assert_type(list(scan), list[Message])
    assert_type(scan.project("id"), ParallelScan[PartialItem])
    assert_type(scan.project(Summary), ParallelScan[Summary])
    assert_type(scan.checkpoint, str)
