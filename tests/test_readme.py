"""Every code block of the README and of the pages in `docs/` works as it is written."""

from __future__ import annotations

import re
import sys

import pytest
from checkers import mypy, pyright
from pages import PAGES, ROOT, Block, Reader, blocks, programs


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_the_page_works(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    known = set(sys.modules)
    try:
        with Reader(tmp_path) as reader:
            for block in blocks(page):
                reader.follow(block)
    finally:
        for name in set(sys.modules) - known:
            if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


@pytest.mark.parametrize(
    "wrong",
    [
        Block("pycon", "", ">>> 1 + 1\n3\n"),
        Block("python", "", "assert 1 == 2\n"),
        Block("console", "", "$ python -c 'print(1)'\n2\n"),
        Block("console", "", "$ python -c 'print(1)' &\n2\n"),
        Block("sh", "", "make me a sandwich\n"),
        Block("rust", "", "fn main() {}\n"),
    ],
)
def test_a_block_that_does_not_work_is_noticed(wrong, tmp_path):
    with Reader(tmp_path) as reader, pytest.raises(AssertionError):
        reader.follow(wrong)


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_type_checkers_accept_the_programs_of_the_readme(checker, tmp_path):
    files = programs(ROOT / "README.md")
    assert {"messages.py", "seller.py", "buyer.py"} <= set(files)
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert checker(tmp_path, list(files)) == {}


def test_the_client_of_the_wire_page_needs_no_convpolicy():
    text = programs(ROOT / "docs" / "wire.md")["client.py"]
    assert sorted(re.findall(r"^import (\w+)$", text, re.MULTILINE)) == ["msgpack", "os", "sys", "zmq"]
    assert "convpolicy" not in text


def test_ci_runs_the_test_command_of_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (pattern,) = re.findall(r"sed -n 's/\^\\\((.*)\\\)\$/", (ROOT / ".ci/run").read_text(encoding="utf-8"))
    (command,) = re.findall(rf"^({pattern})$", text, re.MULTILINE)
    assert command.endswith("/pytest -q -n auto")


def test_links_between_pages_lead_somewhere():
    for page in [*PAGES, ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([\w./-]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
