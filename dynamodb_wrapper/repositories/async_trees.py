"""The methods of an async repository whose items are trees: those with a `ParentPattern`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal, TypeVar, overload

from pydantic import BaseModel

from dynamodb_wrapper import transport
from dynamodb_wrapper.operations import subtrees, trees
from dynamodb_wrapper.operations.trees import TreeNode, TreeWithMetadata
from dynamodb_wrapper.repositories.trees import TreeFoundation

T = TypeVar("T", bound=BaseModel)


class AsyncTreeMethods(TreeFoundation[T]):
    """Reads and changes trees of items.

    A node is named by its model, by the value of the table's key, or by a pair of values if there is a sort key.
    Each of these methods raises a `DeclarationError` where the repository declares no `ParentPattern`.
    """

    _driver: transport.AsyncDriver

    @overload
    async def read_tree(
        self, root: object, *, max_depth: int = 10, include_metadata: Literal[False] = False, concurrency: int = 8
    ) -> TreeNode[T]: ...

    @overload
    async def read_tree(
        self, root: object, *, max_depth: int = 10, include_metadata: Literal[True], concurrency: int = 8
    ) -> TreeWithMetadata[TreeNode[T]]: ...

    @overload
    async def read_tree(
        self, root: object, *, max_depth: int = 10, include_metadata: bool, concurrency: int = 8
    ) -> TreeNode[T] | TreeWithMetadata[TreeNode[T]]: ...

    async def read_tree(
        self, root: object, *, max_depth: int = 10, include_metadata: bool = False, concurrency: int = 8
    ) -> TreeNode[T] | TreeWithMetadata[TreeNode[T]]:
        """Return a node with everything below it, read level by level.

        One query for each node (more where its children take several pages), those of a level at the same time. The
        root is read strongly consistent; the rest comes from a global index, which shows a write a moment later. A
        link that leads back to a node above is cut: it is in the metadata, and without them logged as a warning.

        Args:
            root: The node to start from; any node will do.
            max_depth: How many levels to read, the root's included.
            include_metadata: Return ``.tree`` and ``.metadata`` (``node_count``, ``depth``, ``complete``, ...).
            concurrency: How many queries run at a time.

        Raises:
            ItemNotFoundError: There is no such root. ``context["orphaned_children"]`` is how many items name it as
                their parent.
            ValidationError: ``root`` is no key of this table, or a stored item no valid model.
        """
        return await self._driver.run(
            trees.read(
                self._family,
                root,
                max_depth=max_depth,
                include_metadata=include_metadata,
                concurrency=concurrency,
            )
        )

    def find_orphans(self, *, concurrency: int = 8) -> AsyncIterator[T]:
        """Yield the items whose parent does not exist, lazily, in no order.

        Reads the whole index, and each parent once or twice: for maintenance, not for every request. What is yielded
        was there, and its parent was not, when it was looked for, strongly consistent.
        """
        return self._driver.stream(subtrees.orphans(self._family, concurrency=concurrency))

    async def move_subtree(self, node: object, new_parent: object | None) -> T:
        """Hang a node, with everything below it, under another node, and return its model as it is now.

        One transaction changes the node's parent field; nothing below it is written. It also checks that the nodes
        above the new place are where they were read, so that two moves at the same time never make a cycle. The
        version, ``updated_at`` and derived index keys are kept right. A node that is there already is not written.

        Args:
            node: The node to move.
            new_parent: The node to hang it under; None makes it a root.

        Raises:
            ItemNotFoundError: The node, or its new parent, does not exist.
            ValidationError: The new parent is the node itself or below it, shares not what parent and child share
                (``within``), or has more than 98 nodes above it: the transaction checks each, and takes 100 actions.
            TransactionCanceledError: Other writers kept moving the nodes above the new place.
        """
        return await self._driver.run(subtrees.move(self._family, node, new_parent))

    async def delete_subtree(self, root: object, *, concurrency: int = 8) -> int:
        """Delete a node and everything below it, and return how many items were deleted.

        The deepest level goes first, each level before the one above, the node itself last: after every single
        delete the tree is whole, only smaller. So when this is stopped half-way, run it again, and it finishes; also
        where the node itself is gone already. What others add below while it runs is deleted too. A node that they move
        away is left alone; if it is moved while this runs, what was below it may be deleted already. The keys of the
        whole subtree are in memory.

        Args:
            root: The node to delete.
            concurrency: How many requests run at a time.

        Raises:
            BatchIncompleteError: Others kept adding children; the node is still there.
        """
        return await self._driver.run(subtrees.delete(self._family, root, concurrency=concurrency))
