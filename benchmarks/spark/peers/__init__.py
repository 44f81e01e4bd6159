"""The candidates of the Spark benchmark.

Each is a module of this package, imported only in a process and an environment of its own. It has ``PACKAGES``, whose
versions the results are to be read by, its own first; ``read(spark, endpoint_url, rows)``, which returns a frame with
the columns pk, total, placed_at and email at least; and ``write(frame, endpoint_url, table)``. What limits its rate
takes the capacity units a second as ``capacity``, too.
"""

from __future__ import annotations

from benchmarks.peers import Peer

OURS = "ours"
PEERS = (
    Peer(OURS, "ours", "ours"),
    Peer("boto3", "boto3 in mapPartitions", "boto3_partitions"),
    Peer("awswrangler", "awswrangler", "awswrangler_frames", "spark-awswrangler"),
    Peer("mattslack", "mattslack's Python data source", "mattslack_source", "spark-mattslack"),
)
