"""The programs of `examples/support` over a bus: answered, called, moved, and a channel that is given up."""

from __future__ import annotations

from play import a_bus, play, stopped
from processes import ended

OPEN, PARCEL, HARD = "When are you open?", "Where is my parcel?", "Why?"
CALL = "received Call(phone='+44 20 7946 0100')"


def asks(*questions: str) -> list[str]:
    return [word for question in questions for word in ("--ask", question)]


def test_an_answer_in_time_or_a_call_and_another_channel_for_what_takes_long():
    with play("support") as example:
        agent, desk = example.start("agent.py", "--patience", "0.3"), example.start("desk.py")
        assert example.run("customer.py") == [
            "Customer received Answer(text='Always.')",
            "Customer received Answer(text='Lovelace Road 3.')",
        ]
        (offer,) = example.run("customer.py", *asks(HARD))
        assert offer.startswith("Customer received CallOffer(at=datetime.datetime(")
        offer, answer = example.run("customer.py", "--stubborn", *asks(HARD))
        assert answer == "Customer received Answer(text='We write as soon as we know.')"
        *_, other, answer = example.run("customer.py", *asks(OPEN, OPEN, OPEN, PARCEL))
        assert other == "Customer received OtherChannel(address='desk@shop.example', reason='it takes longer')"
        assert answer.endswith("""Answer(text="The answer to 'Where is my parcel?' goes to desk@shop.example.")""")

        late = "Desk received Late(minutes=0)"
        heard = stopped(agent)
        assert heard.count(f"Agent {CALL}") == heard.count("Agent received Wait()") == 1
        assert heard.count("Agent received Thanks()") == 3
        closed = "Desk received Closed()"
        # The Desk hears of several conversations, between which there is no order.
        assert sorted(stopped(desk)) == sorted([closed, late, f"Desk {CALL}", late, closed, closed])


def test_a_channel_is_retired_for_a_customer_who_would_not_take_the_other_one():
    with play("support") as example:
        agent, desk = example.start("agent.py", "--retire"), example.start("desk.py")
        retired = "received Retired(address='desk@shop.example')"
        other, answer = example.run("customer.py", "--stubborn")
        assert other.startswith("Customer received OtherChannel(address='desk@shop.example'")
        assert answer == f"Customer {retired}"
        assert stopped(agent)[-1] == "Agent received Stay()"
        assert stopped(desk) == [f"Desk {retired}"]


def test_a_long_conversation_goes_on_over_the_other_channel_from_where_it_was():
    # A bus that may have been restarted waits a while for those who were there before, and the Desk hears nothing.
    with play("support") as example, a_bus("tcp://127.0.0.1:0", "--grace", "0") as (_, mail):
        agent, desk = example.start("agent.py", "--mail", mail), example.start("desk.py", mail)
        *_, other, moved, answer, last = example.run("customer.py", *asks(OPEN, OPEN, OPEN, PARCEL, OPEN))
        assert other == f"Customer received OtherChannel(address={mail!r}, reason='it takes longer')"
        assert moved == f"Customer goes on over {mail}"
        assert answer == f"""Customer received Answer(text="The answer to 'Where is my parcel?' goes to {mail}.")"""
        assert last == "Customer received Answer(text='Always.')"
        assert stopped(agent)[-1] == "Agent received Thanks()"  # and it has told the Desk
        assert stopped(desk) == ["Desk received Closed()"]


def test_an_agent_that_is_killed_over_a_question_is_reported_to_the_customer():
    with play("support") as example:
        agent, customer = example.start("agent.py"), example.start("customer.py", *asks(HARD))
        assert agent.stdout is not None
        next(line for line in agent.stdout if line.startswith("Agent received Question"))
        agent.kill()
        code, out, err = ended(customer)
    assert (code, out) == (1, "")
    assert err.startswith("Agent is gone: its connection is down\n")
