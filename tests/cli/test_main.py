"""The entry: version, usage, a missing extra, and a reader that goes away."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import convpolicy.cli


def test_version(convpolicy):
    assert convpolicy("--version") == (0, f"convpolicy {version('convpolicy')}\n", "")


@pytest.mark.parametrize("arguments", [("check",), ("frob",), ("check", "--nope", "x.scr")])
def test_usage_exits_with_2(convpolicy, arguments):
    code, _, err = convpolicy(*arguments)
    assert code == 2
    assert err.startswith("Usage: convpolicy")


def test_a_missing_extra_is_one_clear_line(convpolicy, monkeypatch):
    monkeypatch.setattr("convpolicy.cli.find_spec", lambda _: None)
    code, out, err = convpolicy("check", "x.scr")
    assert (code, out) == (2, "")
    assert err == ('the command line needs typer and rich: install it with  pip install "convpolicy[cli]"\n')


def test_a_reader_that_goes_away_is_no_error(policies):
    command = f"{sys.executable} -m convpolicy.cli show good.scr | true"
    done = subprocess.run(["bash", "-c", command], cwd=policies, capture_output=True, text=True, check=False)
    assert done.stderr == ""


LOADED = """
import sys
from convpolicy.cli import main
sys.argv[1:] = {arguments}
try:
    main()
finally:
    print(*sorted({{name.partition(".")[0] for name in sys.modules}} & {{"zmq", "asyncio", "transitions", "rich"}}))
"""


@pytest.mark.parametrize(("arguments", "loaded"), [(["check", "--json", "good.scr"], ""), (["bus", "--help"], "zmq")])
def test_a_command_loads_only_what_it_needs(policies, arguments, loaded):
    program = LOADED.format(arguments=arguments)
    done = subprocess.run([sys.executable, "-c", program], cwd=policies, capture_output=True, text=True, check=False)
    last = done.stdout.splitlines()[-1]
    assert last == loaded if not loaded else loaded in last


def test_the_library_loads_what_plays_policies_when_it_is_asked_for():
    program = """
import sys, convpolicy
assert "zmq" not in sys.modules and "Bus" in dir(convpolicy) and not hasattr(convpolicy, "nonsense")
assert convpolicy.Policy.__module__ == "convpolicy" and "zmq" not in sys.modules
assert convpolicy.Bus.__module__ == "convpolicy" and "zmq" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_one_kind_of_link_needs_is_not_loaded_for_another():
    program = """
import asyncio, sys
from convpolicy import Memory, Policy, label, roles, send

Asker, Teller = roles("Asker", "Teller")
policy, via = Policy("Asking", send(Asker, Teller, label("Ask"))), Memory()
teller = policy.service(Teller)
teller.on(label("Ask"))(lambda ask: None)

async def main():
    playing = await teller.start(via)
    async with policy.join(Asker, via=via) as asker:
        await asker.send(label("Ask")())
    await playing.stop()

asyncio.run(main())
loaded = {name.split(".")[2] for name in sys.modules if name.startswith("convpolicy.runtime.")}
assert "engine" in loaded and not {"durable", "pipeline", "wired"} & loaded, loaded
assert "lark" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_only_main_is_public():
    assert convpolicy.cli.__all__ == ["main"]
