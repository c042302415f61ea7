"""Times as a policy writes them: `within 30s`, and the seconds that they are."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

__all__ = ["UNITS", "duration", "seconds"]

# From the largest to the smallest; `m` is read as minutes too.
UNITS = {"d": Fraction(86400), "h": Fraction(3600), "min": Fraction(60), "s": Fraction(1), "ms": Fraction(1, 1000)}


def duration(seconds: float) -> str:
    """Write seconds in the largest unit that leaves a whole number: `90` is `90s`, `120` is `2min`.

    Reading it back gives exactly the same number.
    """
    exact = Fraction(repr(seconds))
    for unit, size in UNITS.items():
        if (exact / size).denominator == 1:
            return f"{exact / size}{unit}"
    return f"{Decimal(repr(seconds)):f}s"


def seconds(text: str) -> float:
    """Read `30s`, `0.5 h` or `100ms`.

    Raises:
        ValueError: it is not a number with a unit; the text says which of the two is wrong.
    """
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    unit = text[len(number) :]
    size = UNITS.get("min" if unit == "m" else unit)
    if size is None:
        raise ValueError("its unit has to be one of ms, s, m, min, h and d")
    try:
        return float(Fraction(number.strip()) * size)
    except (ValueError, OverflowError):
        raise ValueError("write a number and a unit, such as `30s` or `0.5s`") from None
