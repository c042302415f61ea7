"""How long a silent peer is waited for. It stands by itself, for those who say it and play nothing."""

from __future__ import annotations

__all__ = ["LOST_AFTER"]

LOST_AFTER = 30.0  # seconds of silence after which a peer counts as gone
