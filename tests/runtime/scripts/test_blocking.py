"""The blocking twin, in a program without an event loop."""

from __future__ import annotations

import inspect
import threading

import pytest
from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Seller, Shipment, purchase

from convpolicy import Bus, ForeignThread, LocalViolation, Memory, NotReachable, Script, Unfinished
from convpolicy.runtime.scripts.blocking import BlockingScript


def sell(link: Memory | Bus, count: int = 1) -> threading.Thread:
    """Sell `count` chairs from another thread."""

    def sells() -> None:
        for _ in range(count):
            with purchase.join_blocking(Seller, via=link) as conversation:
                order = conversation.receive(Order)
                conversation.send(Invoice(NINE))
                conversation.send(Shipment(order.sku))
                conversation.receive(Payment)

    thread = threading.Thread(target=sells)
    thread.start()
    return thread


def test_a_chair_is_bought_and_sold_without_an_event_loop() -> None:
    link = Memory()
    seller = sell(link)
    came = []
    with purchase.join_blocking(Buyer, via=link) as conversation:
        conversation.send(CHAIR)
        for message in conversation:
            came.append(message)
            if isinstance(message, Invoice):
                conversation.send(Payment(message.amount))
        assert conversation.history == ("Order", "Invoice", "Payment", "Shipment")
    seller.join()
    assert came == [Invoice(NINE), Shipment("chair")]


def test_what_is_owed_is_raised_here_too() -> None:
    link = Memory()

    def sells() -> None:
        with pytest.raises(Exception, match="Buyer"), purchase.join_blocking(Seller, via=link) as conversation:
            conversation.receive(Order)
            conversation.send(Invoice(NINE))
            conversation.receive(Payment)

    thread = threading.Thread(target=sells)
    thread.start()
    with pytest.raises(Unfinished), purchase.join_blocking(Buyer, via=link) as conversation:
        with pytest.raises(LocalViolation):
            conversation.send(Payment(NINE))
        conversation.send(CHAIR)
        conversation.receive(Invoice, timeout=5)
    thread.join()


def test_nobody_there_is_said_and_no_thread_is_left() -> None:
    before = threading.active_count()
    with (
        pytest.raises(NotReachable, match="no Seller answered at tcp://127.0.0.1:9"),
        purchase.join_blocking(Buyer, via=Bus("tcp://127.0.0.1:9"), timeout=0.05),
    ):
        pass
    assert threading.active_count() == before


def test_the_two_twins_have_the_same_names() -> None:
    def public(cls: type[object]) -> set[str]:
        return {name for name, _ in inspect.getmembers(cls) if not name.startswith("_")}

    only_async = {"arrived", "relieved", "finished", "failed", "leave", "tell", "data", "role", "error"}
    only_async |= {"transaction", "rang", "end_within", "patient"}
    assert public(Script) - public(BlockingScript) == only_async


async def test_a_conversation_used_from_another_thread_is_a_typed_error() -> None:
    link = Memory()
    async with purchase.player(Seller, via=link), purchase.join(Buyer, via=link) as conversation:
        caught: list[BaseException] = []

        def use() -> None:
            try:
                conversation.tell(CHAIR)
            except ForeignThread as error:
                caught.append(error)

        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
        conversation.abort("enough")
    assert "the endpoint of Buyer belongs to the thread and process that opened it" in str(caught[0])
