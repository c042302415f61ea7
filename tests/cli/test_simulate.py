"""`convpolicy simulate`: good policies, a module's own services, and what cannot be simulated."""

from __future__ import annotations

import json

import pytest

SHOP = """
from convpolicy import Policy, Role
shop = Policy.load("good.scr")
labels = {label.name: label for label in shop.labels}
seller = shop.service(Role("Seller"))
twice = shop.service(Role("Seller"))
idle = shop.service(Role("Seller"))

@seller.on(labels["Order"])
def fulfil(order):
    return [labels["Invoice"](amount=9), labels["Shipment"](tracking="1Z")]

@twice.on(labels["Order"])
def ships_twice(order):
    return [labels["Shipment"](tracking="1Z"), labels["Shipment"](tracking="2Z")]

for service in (seller, twice):
    service.on(labels["Payment"])(lambda payment: None)

async def buy(conversation):
    await conversation.send(labels["Order"](sku="chair", quantity=1))
    await conversation.receive(labels["Shipment"])
    invoice = await conversation.receive(labels["Invoice"])
    await conversation.send(labels["Payment"](amount=invoice["amount"]))
"""


@pytest.fixture
def shop(policies, monkeypatch):
    (policies / "simulated_shop.py").write_text(SHOP, encoding="utf-8")
    monkeypatch.setattr("sys.path", [str(policies), *__import__("sys").path])
    yield
    __import__("sys").modules.pop("simulated_shop", None)


def test_a_policy_is_simulated(convpolicy, policies):
    code, out, err = convpolicy("simulate", "good.scr", "--seeds", "5", "--faults", "drop,crash")
    assert (code, err) == (0, "")
    assert out.startswith("Purchase: every rule was kept in 5 runs\n")


def test_one_seed_is_simulated_over_a_bus(convpolicy, policies):
    code, out, _ = convpolicy("simulate", "good.scr", "--seed", "7", "--bus", "--json")
    told = json.loads(out)
    assert (code, told["good"], told["seeds"], told["failure"]) == (0, True, 1, None)


def test_services_and_scripts_of_a_module_are_played(convpolicy, shop):
    targets = ("simulated_shop:seller", "Buyer=simulated_shop:buy")
    code, out, _ = convpolicy("simulate", "good.scr", *targets, "--seeds", "5", "--faults", "delay")
    assert (code, out.splitlines()[0]) == (0, "Purchase: every rule was kept in 5 runs")


def test_a_service_that_breaks_the_policy_is_drawn(convpolicy, shop):
    code, out, _ = convpolicy("simulate", "good.scr", "simulated_shop:twice", "--seeds", "5", "--log")
    assert code == 1
    assert "Seller broke the policy: Seller may not send Shipment now" in out
    assert "Seller: Aborted" in out
    assert "Seller       starts, life 0" in out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("good.scr", "--faults", "rain"), 2, "there is no fault `rain`"),
        (("good.scr", "simulated_shop:buy"), 2, "Write ROLE=simulated_shop:buy."),
        (("good.scr", "Bank=simulated_shop:buy"), 2, "Its roles are Buyer and Seller."),
        (("good.scr", "simulated_shop:shop"), 2, "shop is not a service or function of simulated_shop"),
        (("good.scr", "simulated_shop:idle", "--seeds", "1"), 1, "has no handler for"),
        (("bad.scr",), 1, "Courier cannot tell the branches"),
        (("broken.scr",), 2, "broken.scr:2:11"),
    ],
)
def test_what_cannot_be_simulated_is_said(convpolicy, shop, arguments, code, said):
    outcome = convpolicy("simulate", *arguments)
    assert (outcome.code, outcome.out) == (code, "")
    assert said in outcome.err
