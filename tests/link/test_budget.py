"""What a tree may need for those who are connected to it, before it starts."""

from __future__ import annotations

import pytest
import zmq
from trees import Publisher_

from convpolicy import LinkError, Tree
from convpolicy.link.budget import Budget
from convpolicy.link.relay import Relay
from convpolicy.wire.frame import MAX_FRAME

ANY = "tcp://127.0.0.1:0"


def a_tree(**settings: int) -> Tree:
    return Tree(ANY, root=Publisher_, **settings)  # type: ignore[arg-type]


def test_it_is_connections_times_what_waits_for_one_times_the_largest_of_it() -> None:
    budget = Budget(fan_out=10, queue=32)
    assert budget.bytes == 10 * ((32 + 32) * MAX_FRAME + 2 * 32 * 4_096)
    assert a_tree(fan_out=10, queue=32).budget == Relay(ANY, ANY, fan_out=10, queue=32).budget == budget.bytes


def test_a_root_that_could_need_too_much_does_not_start() -> None:
    with pytest.raises(LinkError) as caught:
        a_tree(fan_out=1_000, queue=32).open_root()
    assert str(caught.value) == (
        "the root of Tree('tcp://127.0.0.1:0', root=Publisher) may need 4,250.0 MiB for its connections, and 1,024.0 "
        "MiB is the limit: 1,000 connections x (32 frames + 32 answers of 65,536 bytes, and 64 requests of 4,096).\n"
        "  Put relays between (fan_out=240 fits), let fewer frames wait (queue=…), or allow more (memory=…)."
    )
    a_tree(fan_out=240, queue=32).open_root().close()
    a_tree(fan_out=1_000, queue=32, memory=5 * 1024**3).open_root().close()


def test_a_relay_that_could_need_too_much_does_not_start() -> None:
    with pytest.raises(LinkError, match="the relay at tcp://127.0.0.1:0 may need 11,000.0 MiB"):
        Relay("tcp://127.0.0.1:9", ANY, fan_out=1_000, queue=140, memory=2**20).start()


def test_where_not_even_one_connection_fits_it_says_so() -> None:
    with pytest.raises(LinkError, match="not one fits"):
        Budget(limit=1_000).ensure("this")


@pytest.mark.parametrize("setting", [{"fan_out": 0}, {"queue": 0}, {"memory": 0}])
def test_room_for_nothing_is_refused(setting: dict[str, int]) -> None:
    with pytest.raises(LinkError, match="Give counts of 1 or more"):
        a_tree(**setting)


def test_the_sockets_that_others_connect_to_hold_no_more_than_was_computed() -> None:
    root = a_tree(queue=7).open_root()
    try:
        for socket, waiting in ((root.downwards, 7), (root.back, 32)):  # type: ignore[attr-defined]
            assert socket.getsockopt(zmq.SNDHWM) == waiting
            assert socket.getsockopt(zmq.RCVHWM) == 32
            assert socket.getsockopt(zmq.MAXMSGSIZE) == 4_096
    finally:
        root.close()
