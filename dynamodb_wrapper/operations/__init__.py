"""What is sent and in which order: request values, and flows that yield them.

``from dynamodb_wrapper.operations import trees`` imports the module when something in it is first used: a program that
reads items does not pay for trees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynamodb_wrapper.utils.lazy import exported

if not TYPE_CHECKING:
    __getattr__, __dir__ = exported(
        __name__,
        {},
        modules="""
        adoption batch_rounds batches bulk cancellations capacity charts copies cursors declaration
        declared_tables derived_changes document_batches document_keywords document_trees documents
        dynamodb_keywords effects entity evolving explanations gathering imports indexes items key_parts
        key_templates key_values kind_entity leading_keys migrations named_tables parents passes patches
        pipelines policies queries raw_tables recalling requests run_messages runs scans selection sharded
        sizes sort_conditions subtrees table_changes table_comparison table_diff table_options tables
        template_entity templates transactions trees unique upserts versions writes
        """,
    )
