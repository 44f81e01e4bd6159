"""The pool of threads in a forked child, whose parent's threads are not there to give a lock back."""

from __future__ import annotations

import os
import threading

import pytest

from tests.integration.test_direct_lane import ITEM, Recorder, connect, pool_of, send
from tests.integration.test_direct_lane import server as server  # a fixture


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_child_closes_the_pool_that_another_thread_was_using(server: Recorder) -> None:
    connection = connect(server.url)
    send(connection)
    pool, held, done = pool_of(connection), threading.Event(), threading.Event()

    def hold() -> None:
        with pool._lock:
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert held.wait(10)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            threading.Timer(20, os._exit, (1,)).start()  # rather than wait for ever
            answer = send(connection)
            apart = pool_of(connection) is not pool and pool._idle == []
            os.write(writer, b"fine" if apart and answer["Item"] == ITEM["Item"] else b"wrong")
        finally:
            os._exit(0)
    os.close(writer)
    done.set()
    with os.fdopen(reader, "rb") as told:
        assert told.read() == b"fine"
    os.waitpid(child, 0)
    thread.join(10)
    assert len(pool._idle) == 1
    send(connection)
