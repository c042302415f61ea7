"""Every link keeps what a link keeps, and its options are the ones that its failures call for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from convpolicy import Bus, Faults, ForeignThread, LinkError, Memory
from convpolicy.link import sockets
from convpolicy.link.port import LISTENER, Delivery, Link, Port
from convpolicy.testing.links import Collector, check_link


def test_memory_is_a_link() -> None:
    check_link(Memory)


def test_bus_over_tcp_is_a_link() -> None:
    check_link(lambda: Bus("tcp://127.0.0.1:0"), lambda port: Bus(port.url))


def test_bus_over_ipc_is_a_link(tmp_path: Path) -> None:
    check_link(lambda: Bus(f"ipc://{tmp_path}/bus"))


def test_bus_over_inproc_is_a_link() -> None:
    check_link(lambda: Bus("inproc://test_bus_over_inproc"))


@pytest.mark.parametrize(
    ("break_it", "rule"),
    [
        (lambda port: setattr(port, "servers", (b"x",)), "which of them listens"),
        (lambda port: setattr(port, "transmit", lambda *_: Delivery.SENT), "must be GONE"),
        (lambda port: setattr(port, "drain", lambda _limit: [(b"?", b"?")]), "must give nothing"),
    ],
)
def test_the_check_finds_a_link_that_does_not_keep_it(break_it: Callable[[Port], None], rule: str) -> None:
    class Broken(Memory):
        def open(self, *, listen: bool):  # type: ignore[no-untyped-def]
            port = super().open(listen=listen)
            if listen:
                break_it(port)
            return port

    with pytest.raises(AssertionError, match=rule):
        check_link(Broken)


@pytest.mark.parametrize(
    "url", ["", "5555", "localhost:5555", "http://localhost", "tcp://", "tcp://*", "tcp://h:99999"]
)
def test_what_is_not_an_address_is_refused_with_examples(url: str) -> None:
    with pytest.raises(LinkError, match="Use one such as tcp://127.0.0.1:5555") as caught:
        Bus(url)
    assert repr(url) in str(caught.value)


def test_an_address_in_use_is_an_error_that_says_what_to_do() -> None:
    port = Bus("tcp://127.0.0.1:0").open(listen=True)
    try:
        with pytest.raises(LinkError) as caught:
            Bus(port.url).open(listen=True)
    finally:
        port.close()
    assert str(caught.value).startswith(f"cannot listen on {port.url}: Address already in use")
    assert str(caught.value).endswith("Another process listens there: stop it, or take another port.")


def test_only_one_end_of_a_memory_link_listens() -> None:
    link = Memory()
    link.open(listen=True)
    with pytest.raises(LinkError, match="Give each service a link of its own"):
        link.open(listen=True)


def test_a_socket_used_from_another_thread_is_a_typed_error() -> None:
    port = Bus("tcp://127.0.0.1:0").open(listen=True)
    caught: list[Exception] = []

    def use() -> None:
        try:
            port.drain(1)
        except ForeignThread as error:
            caught.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    port.close()
    assert str(caught[0]) == (
        f"the link at {port.url} belongs to the thread and process that opened it.\n"
        f"  Open one here instead; after a fork use the `spawn` start method of multiprocessing."
    )


def test_clients_of_a_server_that_went_do_not_come_back_in_step() -> None:
    ports = [Bus("tcp://127.0.0.1:9").open(listen=False) for _ in range(50)]
    try:
        for option, (least, most) in sockets._RECONNECT.items():
            pauses = [port.sockets[LISTENER].getsockopt(option) for port in ports]  # type: ignore[attr-defined]
            assert all(least <= pause <= most for pause in pauses), option
            assert max(pauses) - min(pauses) > (most - least) / 2, option
    finally:
        for port in ports:
            port.close()


def test_an_old_libzmq_is_refused() -> None:
    sockets.ensure_libzmq((4, 3, 5))
    with pytest.raises(LinkError, match=r"libzmq 4\.3\.4 has known holes; install pyzmq >= 27"):
        sockets.ensure_libzmq((4, 3, 4))


def test_a_frame_to_an_end_that_has_gone_is_gone() -> None:
    link: Link = Memory()
    listening, other = link.open(listen=True), link.open(listen=False)
    other.transmit(LISTENER, b"hello")
    ((address, _),) = listening.drain(1)
    other.close()
    assert listening.transmit(address, b"anybody?") is Delivery.GONE


def test_a_full_memory_link_is_busy_and_loses_nothing() -> None:
    link = Memory()
    listening, other = link.open(listen=True), link.open(listen=False)
    sent = 0
    while other.transmit(LISTENER, b"x") is Delivery.SENT:
        sent += 1
    assert len(listening.drain(10_000)) == sent


def test_faults_drop_repeat_and_reorder_the_same_way_for_the_same_seed() -> None:
    def through(faults: Faults) -> list[bytes]:
        link = Memory(faults=faults)
        listening, other = link.open(listen=True), link.open(listen=False)
        for number in range(200):
            other.transmit(LISTENER, b"%d" % number)
        return [frame for _, frame in listening.drain(1000)]

    plain = [b"%d" % number for number in range(200)]
    assert through(Faults()) == plain
    dropped = through(Faults(drop=0.2, seed=1))
    assert dropped == through(Faults(drop=0.2, seed=1))
    assert 0 < len(dropped) < 200
    assert dropped == sorted(dropped, key=int)
    assert len(through(Faults(duplicate=0.2))) > 200
    reordered = through(Faults(reorder=0.2))
    assert sorted(reordered, key=int) == plain
    assert reordered != plain


def test_a_collector_says_how_many_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convpolicy.testing.links.PATIENCE", 0.01)
    with pytest.raises(AssertionError, match="0 of 1 frames arrived"):
        Collector(Memory().open(listen=True)).wait(1)
