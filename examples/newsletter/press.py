"""The press: `python press.py [WIRING] [FOLDER]` renders editions when they are opened, until Ctrl-C.

What an edition says is in the file of its number, such as `1.txt`, and is read then and there: whoever opens it later
reads what it says later.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from messages import Content, Open, OptOut, Press, newsletter, wiring, words

from convpolicy import ConvPolicyError

FOLDER = Path(words()[0]) if words() else Path(__file__).with_name("editions")

press = newsletter.service(Press)


@press.on(Open)
def render(opened: Open) -> Content:
    """Say what the edition says now."""
    print(f"Press received {opened}", flush=True)
    file = FOLDER / f"{opened.number}.txt"
    text = file.read_text(encoding="utf-8") if file.exists() else "This edition is not there any more."
    return Content(opened.number, f"{text.strip()} ({datetime.now(UTC):%H:%M:%S})")


@press.on(OptOut)
def note(opt_out: OptOut) -> None:
    """Note that a reader has gone."""
    print(f"Press received {opt_out}", flush=True)


if __name__ == "__main__":
    try:
        press.run(via=wiring(), started=lambda _: print("Press is ready", flush=True))
    except ConvPolicyError as problem:
        sys.exit(str(problem))
