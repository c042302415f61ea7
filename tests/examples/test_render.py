"""The programs of `examples/render` along a pipeline: a picture, whole and once, though a painter is killed."""

from __future__ import annotations

import tempfile

from play import finished
from processes import EXAMPLES, ended, on_a_terminal, program

RENDER = EXAMPLES / "render"


def test_a_picture_is_whole_though_a_painter_is_killed_and_a_bar_is_drawn_meanwhile():
    with tempfile.TemporaryDirectory(prefix="cp") as folder:
        urls = [f"ipc://{folder}/todo", f"ipc://{folder}/done"]
        with (
            program(RENDER / "screen.py", *urls) as screen,
            program(RENDER / "painter.py", *urls) as first,
            program(RENDER / "painter.py", *urls) as second,
        ):
            for _ in range(2):
                code, out, drawn = on_a_terminal(RENDER / "source.py", *urls, "--rows", "8", "--columns", "40")
                assert (code, out) == (0, "8 of 8 done\n"), drawn
                assert "8 of 8 done" in drawn
                assert "Source" in drawn
                first.kill()  # the second picture is painted by one
            second.terminate()
            assert finished(second) == ["Painter waits"]
            screen.terminate()
            code, out, err = ended(screen)
    assert (code, err) == (0, "")
    waits, *pictures = out.splitlines()
    assert waits == "Screen waits"
    assert pictures[:8] == pictures[8:] == pictures[7::-1]
