"""The programs of `examples/contract-net` over a bus: one award, and none when nobody has time."""

from __future__ import annotations

from play import play, stopped


def test_the_cheapest_of_those_who_have_time_does_it_and_the_others_hear_of_it():
    with play("contract-net") as example:
        third = example.start("contractor.py", "{Third}", "--amount", "80")
        first = example.start("contractor.py", "{First}", "--amount", "90")
        second = example.start("contractor.py", "{Second}")
        assert example.run("manager.py") == [
            "Manager received Propose(amount=Decimal('90'), days=3) from First",
            "Manager received Refuse(reason='no time') from Second",
            "Manager received Propose(amount=Decimal('80'), days=3) from Third",
            "Manager received Done(result='paint the fence: it is done') from Third",
        ]
        assert stopped(third)[1:] == ["Third received Accept(task='paint the fence')"]
        assert stopped(first)[1:] == ["First received Reject()"]
        assert stopped(second)[1:] == ["Second received Reject()"]


def test_nobody_has_time_and_all_hear_that_it_is_closed():
    with play("contract-net") as example:
        contractors = [example.start("contractor.py", f"{{{role}}}") for role in ("First", "Second", "Third")]
        refused = "Manager received Refuse(reason='no time') from"
        assert example.run("manager.py") == [f"{refused} First", f"{refused} Second", f"{refused} Third"]
        assert [stopped(contractor)[-1] for contractor in contractors] == [
            "First received Closed()",
            "Second received Closed()",
            "Third received Closed()",
        ]
