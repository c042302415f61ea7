"""`convpolicy run`: a service by its name, and names that lead nowhere."""

from __future__ import annotations

import signal

import pytest
from processes import PURCHASE, ended, listening, run


def test_a_service_runs_until_it_is_told_to_end():
    arguments = ("-m", "convpolicy.cli", "run", "seller:seller", "--via", "tcp://127.0.0.1:0")
    with listening(*arguments, folder=PURCHASE) as (service, url):
        code, out, err = run("buyer.py", url, folder=PURCHASE)
        assert (code, err) == (0, "")
        assert "Buyer received Shipment" in out
        service.send_signal(signal.SIGINT)
        code, _, err = ended(service)
        assert (code, err) == (0, "")


def test_a_service_listens_at_several_addresses():
    addresses = [word for _ in range(2) for word in ("--via", "tcp://127.0.0.1:0")]
    with listening("-m", "convpolicy.cli", "run", "seller:seller", *addresses, folder=PURCHASE) as (service, last):
        assert run("buyer.py", last, folder=PURCHASE)[0] == 0
        service.send_signal(signal.SIGINT)
        assert ended(service)[0] == 0


@pytest.fixture
def wrongs(tmp_path, monkeypatch):
    (tmp_path / "wrongs.py").write_text(
        "from convpolicy import Policy, labels, roles, send\n"
        "A, B = roles('A', 'B')\n(Hi,) = labels('Hi')\n"
        "idle = Policy('P', send(A, B, Hi)).service(B)\nnumber = 1\n",
        encoding="utf-8",
    )
    (tmp_path / "needy.py").write_text("import absent_from_everywhere\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [str(tmp_path), *__import__("sys").path])


@pytest.mark.parametrize(
    ("target", "code", "said"),
    [
        ("wrongs", 2, "Write MODULE:SERVICE"),
        ("nowhere:seller", 2, "there is no module nowhere"),
        ("wrongs:number", 2, "Its services are idle."),
        ("wrongs:idle", 1, "B of P has no handler for Hi."),
    ],
)
def test_what_cannot_be_run_is_said(convpolicy, wrongs, target, code, said):
    outcome = convpolicy("run", target, "--via", "tcp://127.0.0.1:0")
    assert outcome.code == code
    assert said in outcome.err


@pytest.mark.parametrize(
    "options", [(), ("--via", "tcp://127.0.0.1:0", "--over", "w.toml"), ("--over", "w.toml", "--bus")]
)
def test_a_service_is_played_at_addresses_or_over_a_wiring(convpolicy, wrongs, options):
    outcome = convpolicy("run", "wrongs:idle", *options)
    assert outcome.code == 2
    assert "Give --via URL, or --over FILE without --bus." in outcome.err


def test_an_address_that_is_none_is_said(convpolicy, wrongs):
    code, _, err = convpolicy("run", "wrongs:idle", "--via", "nonsense")
    assert code == 2
    assert "is not an address" in err


def test_a_module_that_lacks_something_fails_with_its_own_error(convpolicy, wrongs):
    with pytest.raises(ModuleNotFoundError, match="absent_from_everywhere"):
        convpolicy("run", "needy:service", "--via", "tcp://127.0.0.1:0")
