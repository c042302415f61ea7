"""Bytes and what they mean: frames of envelopes and control items, and payloads. The format is `docs/wire.md`."""
