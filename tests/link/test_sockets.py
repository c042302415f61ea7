"""Every option of every kind of socket, read back from the open socket; and nothing of ZeroMQ is used elsewhere."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator

import pytest
import zmq
from helpers import Buyer, Seller
from test_architecture import MODULES, Module

from convpolicy import Bus, Exposed, LinkError, Pipeline, Tree
from convpolicy.link import sockets
from convpolicy.link.bus import DealerPort, RouterPort
from convpolicy.link.ends import Ends
from convpolicy.link.port import LISTENER, Port
from convpolicy.link.room import Room
from convpolicy.link.sockets import Socket, open_socket

HERE = "tcp://127.0.0.1:0"
NOBODY = "tcp://127.0.0.1:9"

# What is asked of every socket, by the rows of docs/zeromq.md, in words of its own.
EVERYWHERE = {
    zmq.LINGER: 1_000,
    zmq.SNDHWM: 512,
    zmq.RCVHWM: 512,
    zmq.MAXMSGSIZE: 65_536,
    zmq.HEARTBEAT_IVL: 0,
    zmq.HANDSHAKE_IVL: 2_000,
    zmq.BACKLOG: 1_024,
    zmq.TCP_KEEPALIVE: 1,
    zmq.TCP_KEEPALIVE_IDLE: 5,
    zmq.TCP_KEEPALIVE_INTVL: 2,
    zmq.TCP_KEEPALIVE_CNT: 3,
}
AT_THE_ROOT = {zmq.SNDHWM: 32, zmq.RCVHWM: 32, zmq.MAXMSGSIZE: 4_096}  # see test_budget.py
DRAWN = {zmq.RECONNECT_IVL: (50, 150), zmq.RECONNECT_IVL_MAX: (2_500, 5_000)}  # see test_links.py
NEVER_WAITS = {zmq.SNDTIMEO: 0, zmq.RCVTIMEO: 0}
WRITE_ONLY = {zmq.ROUTER_MANDATORY, zmq.ROUTER_HANDOVER, zmq.XPUB_VERBOSE, zmq.XPUB_NODROP}  # libzmq does not tell


def of(port: Port) -> Iterator[Socket]:
    match port:
        case Ends():
            for one in port.ports.values():
                yield from of(one)
        case DealerPort():
            yield from port.sockets.values()
        case RouterPort():
            yield port.socket


def differing(socket: Socket, wanted: dict[zmq.SocketOption, int]) -> dict[str, int]:
    fixed = {option.name: got for option, value in wanted.items() if (got := socket.getsockopt(option)) != value}
    drawn = {o.name: got for o, (least, most) in DRAWN.items() if not least <= (got := socket.getsockopt(o)) <= most}
    return fixed | drawn


@pytest.mark.parametrize(
    "opened",
    [
        lambda: Bus(HERE).open(listen=True),
        lambda: Bus(NOBODY).open(listen=False),
        lambda: Bus(NOBODY, "tcp://127.0.0.1:11", broker=True).open(listen=False),
        lambda: Pipeline({(Buyer, Seller): HERE}).ends("Seller"),
        lambda: Pipeline({(Buyer, Seller): NOBODY}).ends("Buyer"),
    ],
    ids=["bus listens", "bus connects", "several buses", "pipeline collects", "pipeline delivers"],
)
def test_every_socket_of_a_port_has_every_option(opened) -> None:
    port = opened()
    try:
        found = list(of(port))
        assert found
        for socket in found:
            queue = port.room.queue
            assert differing(socket, EVERYWHERE | NEVER_WAITS | {zmq.SNDHWM: queue, zmq.RCVHWM: queue}) == {}
            if socket.getsockopt(zmq.TYPE) == zmq.DEALER:
                assert socket.getsockopt(zmq.IMMEDIATE) == 0, "or what has come is lost with the connection"
    finally:
        port.close()


@pytest.mark.parametrize("end", ["root", "leaf"])
def test_every_socket_of_a_tree_has_every_option(end: str) -> None:
    tree = Tree(HERE if end == "root" else NOBODY, root=Seller)
    port = tree.open_root() if end == "root" else tree.open_leaf()
    try:
        for socket in (port.downwards, port.back):  # type: ignore[attr-defined]
            assert differing(socket, EVERYWHERE | NEVER_WAITS | (AT_THE_ROOT if end == "root" else {})) == {}
    finally:
        port.close()


@pytest.mark.parametrize("kind", [zmq.XPUB, zmq.ROUTER, zmq.XSUB, zmq.DEALER])
def test_sockets_of_a_relay_have_them_too_but_a_proxy_in_c_waits(kind: int) -> None:
    context: zmq.Context[Socket] = zmq.Context()
    socket = open_socket(kind, HERE, bind=True, relay=context)
    try:
        assert differing(socket, EVERYWHERE | {zmq.SNDTIMEO: -1, zmq.RCVTIMEO: -1}) == {}
    finally:
        socket.close()
        context.term()


@pytest.mark.parametrize(
    ("kind", "relay", "wanted"),
    [
        (zmq.ROUTER, False, {zmq.ROUTER_MANDATORY: 1, zmq.ROUTER_HANDOVER: 0}),
        (zmq.ROUTER, True, {zmq.ROUTER_MANDATORY: 0, zmq.ROUTER_HANDOVER: 0}),
        (zmq.XPUB, False, {zmq.XPUB_VERBOSE: 1, zmq.XPUB_NODROP: 0}),
        (zmq.PUSH, False, {zmq.IMMEDIATE: 1, zmq.SNDHWM: 16}),
    ],
)
def test_options_of_one_kind(kind: int, relay: bool, wanted: dict[zmq.SocketOption, int]) -> None:
    asked = sockets.settings(kind, relay=relay)
    assert asked | wanted == asked
    assert set(asked) - set(EVERYWHERE) - set(NEVER_WAITS) <= WRITE_ONLY | {zmq.IMMEDIATE}


def test_an_option_that_is_not_as_asked_is_noticed() -> None:
    context: zmq.Context[Socket] = zmq.Context()
    with context.socket(zmq.DEALER) as bare:
        assert set(differing(bare, EVERYWHERE)) == {
            option.name for option in (*EVERYWHERE, zmq.RECONNECT_IVL_MAX) if option is not zmq.HEARTBEAT_IVL
        }
    context.term()


# ---------------------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize("url", ["tcp://*:0", "tcp://0.0.0.0:0"])
def test_listening_where_others_can_connect_is_a_warning_that_says_what_to_do(url: str) -> None:
    with pytest.warns(Exposed, match=r"nobody is authenticated[^$]*Listen on 127\.0\.0\.1") as caught:
        Bus(url).open(listen=True).close()
    assert caught[0].message.url == url  # type: ignore[union-attr]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Exposed)
        Bus(url).open(listen=True).close()


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:0", "tcp://localhost:0", "inproc://nobody_else"])
def test_listening_for_this_machine_is_not(url: str) -> None:
    Bus(url).open(listen=True).close()


def test_connecting_elsewhere_is_not() -> None:
    Bus("tcp://192.0.2.1:5555").open(listen=False).close()


def test_too_many_sockets_are_an_error_that_says_what_to_do() -> None:
    program = """
        import resource
        from convpolicy import Bus, LinkError
        resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
        ports = []
        try:
            while True:
                ports.append(Bus("tcp://127.0.0.1:9").open(listen=False))
        except LinkError as error:
            print(str(error).splitlines()[1].strip())
        for port in ports:
            port.close()
    """
    said = subprocess.check_output([sys.executable, "-c", textwrap.dedent(program)], text=True, timeout=60)
    assert said.startswith("This process has too many sockets or files open: hold many conversations over one conn")


def test_a_libzmq_with_known_holes_is_refused_when_a_link_over_it_is_imported() -> None:
    program = "import zmq; zmq.zmq_version_info = lambda: (4, 3, 4); from convpolicy import Bus"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.endswith("libzmq 4.3.4 has known holes; install pyzmq >= 27, which brings 4.3.5 or newer.\n")


# ------------------------------------------------------------------------------------------------ one that is stuck


def hears(server: Port, wanted: bytes) -> bytes:
    while True:
        for address, frame in server.drain(64):
            if frame == wanted:
                return address


def test_a_connection_that_is_made_anew_carries_what_is_said_then() -> None:
    server = Bus(HERE).open(listen=True)
    port = DealerPort({LISTENER: server.url}, Room(1))
    try:
        port.transmit(LISTENER, b"before")
        address = hears(server, b"before")
        port.renew(LISTENER)
        port.transmit(LISTENER, b"after")
        assert hears(server, b"after") != address
        assert port.renewed == 1
    finally:
        port.close()
        server.close()


def test_within_a_process_nothing_is_made_anew_and_nothing_is_lost() -> None:
    server = Bus("inproc://anew").open(listen=True)
    port = DealerPort({LISTENER: "inproc://anew"}, Room(1))
    try:
        port.renew(LISTENER)
        port.transmit(LISTENER, b"after")
        hears(server, b"after")
    finally:
        port.close()
        server.close()


def test_when_one_of_several_buses_cannot_be_connected_to_the_others_are_closed() -> None:
    def still_open() -> set[Socket]:
        return {socket for socket in sockets._open if not socket.closed}

    before = still_open()
    with pytest.raises(LinkError):
        DealerPort({b"a": NOBODY, b"b": "ipc:///" + "x" * 200}, Room(2))
    assert still_open() <= before


# ------------------------------------------------------------------------------------------------ what nobody uses

DRAFTS = {"DISCONNECT_MSG", "HELLO_MSG", "HICCUP_MSG", "ROUTER_NOTIFY", "SERVER", "CLIENT", "RADIO", "DISH"}
MONITORS = {"get_monitor_socket", "monitor", "disable_monitor"}
LOCKSTEP = {"REQ", "REP"}


def uses(module: Module) -> set[str]:
    """Return what a module uses of ZeroMQ that convpolicy does without; see docs/zeromq.md."""
    nodes = [node for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)]
    of_zmq = {node.attr for node in nodes if isinstance(node.value, ast.Name) and node.value.id == "zmq"}
    return (of_zmq & (DRAFTS | LOCKSTEP)) | ({node.attr for node in nodes} & MONITORS)


def sets_options(module: Module) -> set[str]:
    """Return the options that a module sets elsewhere than in the one place; subscribing is none."""
    calls = [node for node in ast.walk(module.tree) if isinstance(node, ast.Call)]
    named = [c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr in {"setsockopt", "set"} and c.args]
    options = {ast.unparse(call.args[0]) for call in named}
    return {option for option in options if option.startswith("zmq.")} - {"zmq.SUBSCRIBE", "zmq.UNSUBSCRIBE"}


@pytest.mark.parametrize("module", [m for m in MODULES if "zmq" in m.text], ids=lambda module: module.name)
def test_nobody_uses_drafts_monitors_or_lockstep_and_options_are_set_in_one_place(module: Module) -> None:
    assert uses(module) == set()
    if module.name != "link/sockets.py":
        assert sets_options(module) == set()


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (uses, "zmq.ROUTER_NOTIFY"),
        (uses, "context.socket(zmq.REQ)"),
        (uses, "socket.get_monitor_socket()"),
        (sets_options, "socket.setsockopt(zmq.LINGER, 0)"),
    ],
)
def test_each_of_these_rules_can_be_broken(rule, text: str) -> None:
    assert rule(Module("planted.py", "link", text))


def test_the_wheels_of_pyzmq_have_no_drafts_so_nothing_here_was_tested_with_them() -> None:
    assert not zmq.DRAFT_API
