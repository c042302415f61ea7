"""A counter: `python counter.py [WIRING]` reads answers and passes on what makes sense, until Ctrl-C.

Any counter takes the next answers. One that is killed with answers in hand loses nothing: another one gets them.
"""

import sys

from messages import Answers, Counted, Counter, Left, NoAnswer, NoMore, survey, wiring

from convpolicy import ConvPolicyError

counter = survey.service(Counter)


@counter.on(Answers)
def read(answers: Answers) -> Counted | Left:
    """Let answers from 1 to 5 pass."""
    print(f"Counter received {answers}", flush=True)
    return Counted(*answers) if all(1 <= answer <= 5 for answer in answers.answers) else Left(answers.number)


@counter.on(NoAnswer)
def pass_on(no_answer: NoAnswer) -> Left:
    """Say that there is nothing to count."""
    print(f"Counter received {no_answer}", flush=True)
    return Left(no_answer.number)


@counter.on(NoMore)
def close(no_more: NoMore) -> None:
    """Note that this respondent has done."""


if __name__ == "__main__":
    try:
        counter.run(via=wiring(), started=lambda _: print("Counter is at work", flush=True))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
