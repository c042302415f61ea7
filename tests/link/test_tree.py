"""Trees as values, their sockets, and relays as processes."""

from __future__ import annotations

import signal
import threading

import pytest
import zmq
from processes import ended, listening, run
from trees import Publisher_, Reader, newsletter

from convpolicy import ForeignThread, LinkError, Tree, WiringError
from convpolicy.link import sockets
from convpolicy.link.port import Delivery, Guarantees
from convpolicy.link.relay import Relay
from convpolicy.link.treeport import LeafPort, RootPort, back_of
from convpolicy.testing.links import PATIENCE
from convpolicy.wire.frame import Malformed
from convpolicy.wire.tree import Bye, Join, Published, down, prefix, read_answer, read_published, read_request, write

RELAY = ("-m", "convpolicy.cli", "relay")


def a_tree(url: str = "tcp://127.0.0.1:0", **settings: object) -> Tree:
    return Tree(url, root=Publisher_, **settings)  # type: ignore[arg-type]


def wait(read: object, socket: zmq.Socket[bytes]) -> object:
    """Return what a port has read, once there is something."""
    for _ in range(int(PATIENCE / 0.05)):
        if found := read():  # type: ignore[operator]
            return found
        socket.poll(50)
    raise AssertionError("nothing came")


def asked(root: RootPort) -> list[tuple[bytes, bytes]]:
    return wait(lambda: root.requests(10), root.back)  # type: ignore[attr-defined,return-value]


def heard(leaf: LeafPort) -> list[bytes]:
    return wait(lambda: leaf.published(10), leaf.downwards)  # type: ignore[attr-defined,return-value]


@pytest.mark.parametrize("url", ["", "6000", "http://here", "tcp://127.0.0.1", "tcp://127.0.0.1:65535"])
def test_what_is_not_an_address_is_refused_with_examples(url: str) -> None:
    with pytest.raises(LinkError, match=r"the next port is used too"):
        a_tree(url)


@pytest.mark.parametrize("topic", ["a\0b", "x" * 129])
def test_what_is_no_topic_is_refused(topic: str) -> None:
    with pytest.raises(LinkError, match="is no topic"):
        a_tree().on(topic)


@pytest.mark.parametrize("setting", [{"keep": 0}, {"keep_bytes": 0}, {"waiting": 0}, {"at_most": (0, 1.0)}])
def test_what_would_hear_nothing_is_refused(setting: dict[str, object]) -> None:
    with pytest.raises(LinkError, match="Give counts of 1 or more"):
        a_tree(**setting)


def test_a_tree_is_a_value() -> None:
    tree = a_tree("tcp://127.0.0.1:6000", keep=5)
    sport = tree.on("sport")
    assert (tree.topic, sport.topic, sport.keep) == ("", "sport", 5)
    assert repr(sport) == "Tree('tcp://127.0.0.1:6000', root=Publisher)"
    assert tree.guarantees == Guarantees(ordered=True, answers=False)
    with pytest.raises(WiringError, match=r"policy\.join\(role, via=tree\)`, .* or a service"):
        tree.open(listen=True)


@pytest.mark.parametrize(
    ("url", "back"),
    [("tcp://[::1]:6000", "tcp://[::1]:6001"), ("ipc:///x/y", "ipc:///x/y.back"), ("inproc://a", "inproc://a.back")],
)
def test_the_back_channel_is_beside_the_tree(url: str, back: str) -> None:
    assert back_of(url) == back


def test_a_subscription_arrives_each_time_and_a_request_is_answered_through_relays() -> None:
    root = a_tree().open_root()
    with Relay(root.url, "tcp://127.0.0.1:0") as first, Relay(first.url, "tcp://127.0.0.1:0") as second:
        leaves = [a_tree(second.url).open_leaf() for _ in range(2)]
        try:
            for leaf in leaves:  # the second subscription is to a stream that the relays have already
                leaf.follow("Reader/x")
                assert wait(root.arrivals, root.downwards) == {prefix("Reader/x")}  # type: ignore[attr-defined]
            root.publish(prefix("Reader/y") + b"not for them")
            root.publish(prefix("Reader/x") + b"for both")
            assert [heard(leaf) for leaf in leaves] == [[b"Reader/x\0for both"]] * 2
            assert leaves[1].ask(b"who am I?") is Delivery.SENT
            ((address, frame),) = asked(root)
            assert frame == b"who am I?"
            assert root.answer(address, b"the second") is Delivery.SENT
            answered = wait(lambda: leaves[1].answers(10), leaves[1].back)  # type: ignore[attr-defined]
            assert answered == [b"the second"]
            assert leaves[0].answers(10) == []
        finally:
            for port in (*leaves, root):
                port.close()
                port.close()  # twice is fine


def test_an_answer_to_nobody_is_gone() -> None:
    root = a_tree().open_root()
    address = b"\x91\xc4\x05\0abcd"  # a route of one hop, as MessagePack
    try:
        assert root.answer(address, b"x") is Delivery.GONE
    finally:
        root.close()


def test_a_port_of_a_tree_used_from_another_thread_is_a_typed_error() -> None:
    leaf = a_tree("tcp://127.0.0.1:9").open_leaf()
    caught: list[Exception] = []

    def use() -> None:
        try:
            leaf.ask(b"x")
        except ForeignThread as error:
            caught.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    leaf.close()
    assert "the tree at tcp://127.0.0.1:9 belongs to the thread" in str(caught[0])


def test_an_address_in_use_is_an_error_that_says_what_to_do() -> None:
    root = a_tree().open_root()
    try:
        with pytest.raises(LinkError, match="Another process listens there"):
            a_tree(root.url).open_root()
        with pytest.raises(LinkError, match="Another process listens there"):
            Relay("tcp://127.0.0.1:9", root.url).start()
    finally:
        root.close()


def test_every_socket_of_a_tree_has_every_option_set() -> None:
    root, leaf = a_tree().open_root(), a_tree("tcp://127.0.0.1:9").open_leaf()
    ends = [root.downwards, root.back, leaf.downwards, leaf.back]  # type: ignore[attr-defined]
    try:
        for socket in ends:
            below = socket.type in {zmq.XPUB, zmq.ROUTER}
            for option, value in (sockets._OPTIONS | (sockets._BELOW_OPTIONS if below else {})).items():
                assert socket.getsockopt(option) == value, option
    finally:
        root.close()
        leaf.close()


def test_a_relay_stops_in_bounded_time_with_nobody_above_it() -> None:
    relay = Relay("tcp://127.0.0.1:9", "tcp://127.0.0.1:0")
    relay.start()
    leaf = a_tree(relay.url).open_leaf()
    leaf.ask(b"is anybody there?")
    relay.stop()
    relay.stop()  # twice is fine
    leaf.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("convpolicy relay")]


def test_a_relay_of_no_address_is_refused() -> None:
    with pytest.raises(LinkError, match="Use an address such as"):
        Relay("tcp://nowhere:x", "tcp://127.0.0.1:0").start()


@pytest.mark.parametrize("read", [read_request, read_answer, lambda frame: read_published(b"Reader/\0" + frame)])
@pytest.mark.parametrize("frame", [b"", b"\xc1", b"\x91\x63", b"\x93\x01\xa1x\x01", b"\x93\x09\xc0", b"x" * 70_000])
def test_bytes_that_are_no_frame_are_malformed(read: object, frame: bytes) -> None:
    with pytest.raises(Malformed):
        read(frame)  # type: ignore[operator]


def test_frames_come_back_as_they_went() -> None:
    join = Join("Reader/x", b"r" * 16, b"f" * 32, 3)
    assert read_request(write(join)) == join
    assert read_request(write(Bye("Reader/x", b"r" * 16))) == Bye("Reader/x", b"r" * 16)
    beat = Published(b"e" * 16, 8, 0, [], 7)
    assert read_published(down("Reader/x", beat)) == ("Reader/x", beat)
    with pytest.raises(Malformed, match="begins with the name of its stream"):
        read_published(b"no zero byte")


# ---------------------------------------------------------------------------------------- as processes


async def test_the_command_relays_and_ends_cleanly() -> None:
    async with newsletter.player(Publisher_, via=a_tree()) as publisher, publisher.join() as root:
        with listening(*RELAY, "--from", publisher.url, "--to", "tcp://127.0.0.1:0") as (process, url):
            async with newsletter.join(Reader, via=a_tree(url)) as leaf:
                await leaf.ready()
                await root.ready()
            process.send_signal(signal.SIGTERM)
            assert ended(process) == (0, "", "")
        root.abort("the test is over")


def test_the_command_says_what_is_wrong() -> None:
    code, _, said = run(*RELAY, "--from", "tcp://127.0.0.1:9", "--to", "nonsense")
    assert code == 2
    assert "Use an address such as" in said
    assert "Traceback" not in said


def test_a_frame_is_the_name_of_its_stream_a_zero_byte_and_messagepack() -> None:
    frame = down("Reader/x", Published(b"e" * 16, 1, 0, [], 0))
    assert frame == b"Reader/x\0\x98\x00\xc4\x10" + b"e" * 16 + b"\x01\x00\x90\x00\xc2\xa0"
