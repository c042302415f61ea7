"""What the parts of the library may know of each other, and what nobody may use. Each rule is seen to fail once."""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import zmq

import convpolicy

PACKAGE = Path(convpolicy.__file__).parent

# What each part may import of the others. `show` reads values only; the last ones may use everything above them.
VALUES = {"errors", "policy", "machine", "interop", "rounds", "clocks"}
BELOW: dict[str, set[str]] = {
    "errors": set(),
    "policy": {"errors"},
    "machine": {"errors", "policy", "interop"},
    "interop": {"errors", "policy", "machine"},
    "rounds": {"machine"},
    "clocks": {"machine"},
    "table": VALUES,
    "verify": VALUES,
    "show": {*VALUES, "verify"},
    "peering": {*VALUES, "table"},
    "refusals": VALUES,
    "position": {*VALUES, "table", "peering", "refusals"},
    "conversation": {*VALUES, "table", "peering", "refusals", "position"},
    "wire": {*VALUES, "conversation", "peering"},
    "link": {"errors", "policy", "verify", "wire"},
    "journal": {*VALUES, "table", "peering", "conversation", "wire"},
    "runtime": {*VALUES, "table", "verify", "peering", "conversation", "wire", "link", "journal"},
}
EVERYTHING = set(BELOW)
BELOW["verbs"] = EVERYTHING
BELOW["__init__"] = {*EVERYTHING, "verbs"}
BELOW["testing"] = {*EVERYTHING, "verbs", "__init__"}
BELOW["cli"] = {*BELOW["testing"], "testing"}

# Within `verify` and `runtime` the ideas stand one upon the other, in this order; the loose modules of `runtime`,
# with the engine among them, stand at the dot.
CHECKING = ["runs", "values", "roles", "coherence", "exploration", "decide", "evidence", "check"]
CHECKING += ["machines", "evolution", "links"]
PLAYING = ["peers", ".", "bus", "scripts", "services", "pipeline", "tree", "durable", "wired", "anylink"]
IDEAS = {"verify": CHECKING, "runtime": PLAYING}

PURE = {"errors", "policy", "machine", "interop", "rounds", "clocks", "table", "verify", "show"}
PURE |= {"peering", "refusals", "position", "conversation"}
IMPURE = {"zmq", "asyncio", "time", "random", "threading", "socket", "select", "ssl", "multiprocessing"}
UNSAFE = {"pickle", "cPickle", "dill", "marshal", "shelve", "recv_pyobj", "send_pyobj"}

LONGEST_MODULE, LONGEST_FUNCTION = 500, 40


class Module(NamedTuple):
    """One module: the part of the library it belongs to, and its text."""

    name: str
    part: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return parsed(self.text)


@functools.lru_cache(maxsize=1)  # every rule asks for the same one
def parsed(text: str) -> ast.Module:
    return ast.parse(text)


def module_at(path: Path) -> Module:
    inside = path.relative_to(PACKAGE)
    return Module(str(inside), inside.with_suffix("").parts[0], path.read_text(encoding="utf-8"))


# What the wheel takes along is not of the package's layers.
TAKEN_ALONG = {"examples", "benchmarks"}
MODULES = [module_at(path) for path in sorted(PACKAGE.rglob("*.py")) if TAKEN_ALONG.isdisjoint(path.parts)]


# -------------------------------------------------------------------------------------------------- the rules


def imported(module: Module) -> Iterator[str]:
    """Yield the dotted name of everything imported, at the top or in a function."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.name} imports relatively"
            source = node.module or ""
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names if source == "convpolicy")


def upward(module: Module) -> set[str]:
    """Return the parts that the module imports and may not."""
    inside = [name.split(".") for name in imported(module)]
    parts = {name[1] if len(name) > 1 else "__init__" for name in inside if name[0] == "convpolicy"}
    return parts - BELOW[module.part] - {module.part}


def out_of_order(module: Module) -> set[str]:
    """Return the ideas of its part that a module imports although they come after its own."""
    part, name = [*Path(module.name).with_suffix("").parts, "__init__"][:2]
    order = IDEAS.get(part)
    if order is None or name == "__init__":
        return set()
    names = {inside.split(".")[2] for inside in imported(module) if inside.startswith(f"convpolicy.{part}.")}
    ideas = {name if name in order else "." for name in names}
    return ideas - set(order[: order.index(name if name in order else ".") + 1])


def impure(module: Module) -> set[str]:
    """Return what a part without input and output imports of clocks, sockets, threads and chance."""
    return {name.split(".")[0] for name in imported(module)} & IMPURE if module.part in PURE else set()


def unsafe(module: Module) -> set[str]:
    """Return what the module uses that runs code which it reads."""
    names = {node.attr for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)}
    return (names | {name.split(".")[0] for name in imported(module)}) & UNSAFE


def configures_logging(module: Module) -> set[str]:
    """Return how the module decides what becomes of log records, which is the program's business."""
    names = {node.attr for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)}
    return names & {"basicConfig", "addHandler", "setLevel", "dictConfig"}


def too_long(module: Module) -> list[str]:
    """Return the module and the functions in it that are too long to be read at once."""
    functions = [n for n in ast.walk(module.tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [f.name for f in functions if (f.end_lineno or 0) - f.lineno >= LONGEST_FUNCTION]
    return [module.name, *long] if len(module.text.splitlines()) > LONGEST_MODULE else long


def opening(module: Module) -> str:
    return ast.get_docstring(module.tree) or ""


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_every_module_keeps_the_rules(module):
    assert upward(module) == set(), "imports go one way"
    assert out_of_order(module) == set(), "what something is made of does not know what is made of it"
    assert impure(module) == set(), "no clock, socket, thread or chance here"
    assert unsafe(module) == set(), "nothing runs what it reads"
    assert configures_logging(module) == set(), "the program configures logging, not the library"
    assert too_long(module) == []
    assert opening(module), "a module opens by saying what it is about"


@pytest.mark.parametrize(
    ("rule", "part", "text"),
    [
        (upward, "policy", "from convpolicy.verify.check import check"),
        (upward, "conversation", "def f():\n    from convpolicy.runtime import engine"),
        (upward, "link", "import convpolicy"),
        (upward, "show", "from convpolicy import conversation"),
        (impure, "verify", "def f():\n    import time"),
        (impure, "conversation", "from asyncio import Event"),
        (impure, "policy", "import zmq.asyncio"),
        (unsafe, "wire", "import pickle"),
        (unsafe, "cli", "def f(socket):\n    return socket.recv_pyobj()"),
        (configures_logging, "link", "import logging\nlogging.basicConfig()"),
        (too_long, "runtime", "x = 1\n" * 501),
        (too_long, "runtime", "def f():\n" + "    x = 1\n" * 40),
    ],
)
def test_every_rule_can_be_broken(rule, part, text):
    assert rule(Module("planted.py", part, text))


def test_the_order_of_the_ideas_can_be_broken():
    text = "def f():\n    from convpolicy.verify.evidence.findings import told"
    assert out_of_order(Module("verify/runs/planted.py", "verify", text)) == {"evidence"}
    assert out_of_order(Module("verify/evidence/planted.py", "verify", text)) == set()
    text = "def f():\n    from convpolicy.runtime.services.actor import Actor"
    assert out_of_order(Module("runtime/planted.py", "runtime", text)) == {"services"}
    assert out_of_order(Module("runtime/anylink.py", "runtime", text)) == set()
    assert out_of_order(Module("runtime/peers/planted.py", "runtime", "import convpolicy.runtime.engine")) == {"."}


# ----------------------------------------------------------------------------------------------- public names

NAMES = """
Aborted Acceptance Batch BatchReport Bus Busy ChannelRetired Compatibility ConvPolicyError ConversationError Crashed
CreditSpent Dialogue ExitReport Expired Exposed Faults Field ForeignThread Forked Gap IllFormed InDoubt Invited Journal
JournalError JournalFailed Label Link LinkError LinkFull LocalViolation Machine Memory Message MissingExtra
NotCompatible NotImplementable NotReachable Observed PayloadError PeerLost Pipeline Player Policy PolicyError
PolicyMismatch PolicySyntaxError Progress Protocol Quarantined RemoteViolation ReplayDiffers Report Returned Role
RoundOver SQLite Script Service ServiceBus ServiceError SetAside Suspicion TooSlow Tree TreeFull TreePlayer TreeScript
Unfinished Unplayable Unsupported WiredPlayer WiredScript Wiring WiringError again call calls choice connect crash
disconnect interrupt interruptible label labels loop par roles send seq variable
"""
PUBLIC = NAMES.split()


def test_the_public_names_are_these():
    assert sorted(convpolicy.__all__) == sorted(PUBLIC)


def undocumented(value: object, name: str) -> list[str]:
    """Return what of a public value has no docstring of its own."""
    return [part for part, function in [(name, value), *methods(value)] if not (function.__doc__ or "").strip()]


def naming_zeromq(value: object, name: str) -> list[str]:
    """Return what of a public value has a type of ZeroMQ in its signature."""
    found: list[str] = []
    for part, function in [(name, value), *methods(value)]:
        notes = getattr(function, "__annotations__", {}).values()
        if any("zmq" in f"{note} {getattr(note, '__module__', '')}" for note in notes):
            found.append(part)
    return found


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_documented_and_shows_nothing_of_zeromq(name):
    value = getattr(convpolicy, name)
    assert undocumented(value, name) == []
    assert naming_zeromq(value, name) == []


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_says_where_users_import_it_from(name):
    assert getattr(convpolicy, name).__module__ == "convpolicy"


def test_a_bad_public_name_is_noticed():
    class Bad:
        def open(self, socket: zmq.Socket[bytes]) -> None: ...

    assert undocumented(Bad, "Bad") == ["Bad", "open"]
    assert naming_zeromq(Bad, "Bad") == ["open"]


def methods(value: object) -> Iterator[tuple[str, object]]:
    """Yield the public methods and properties that a class defines itself."""
    if inspect.isclass(value):
        for name, member in vars(value).items():
            function = member.fget if isinstance(member, property) else inspect.unwrap(getattr(value, name))
            if not name.startswith("_") and inspect.isfunction(function):
                yield name, function
