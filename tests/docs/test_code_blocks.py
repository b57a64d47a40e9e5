"""Every code block of every page runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenire.browser import find_chromium
from tenire.errors import MissingExtraError

from .pages import ROOT, Page, PageError

GENERATED = {Path("docs/reference/cli.md")}

PAGES = [
    page.relative_to(ROOT)
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if page.relative_to(ROOT) not in GENERATED
]


IN_A_BROWSER = {Path("docs/api/browser.md")}


@pytest.mark.parametrize("name", PAGES, ids=str)
def test_every_block_of_the_page_runs(name: Path, tmp_path: Path) -> None:
    if name in IN_A_BROWSER:
        try:
            find_chromium()
        except MissingExtraError as error:
            pytest.skip(f"no Chromium is installed ({error.hint})")
    Page(str(name), (ROOT / name).read_text(encoding="utf-8"), tmp_path).run()


def page(text: str, folder: Path) -> Page:
    return Page("planted.md", text, folder)


def test_blocks_that_follow_each_other_share_one_program(tmp_path: Path) -> None:
    text = "```python\nx = 20\n```\nand then\n```python\nprint(x + 1)\n```\n```text\n21\n```\n"
    assert page(text, tmp_path).run() == 3


def test_dots_stand_for_anything_in_expected_output(tmp_path: Path) -> None:
    page("```python\nprint('took 1.23 s')\n```\nprints\n```text\ntook ... s\n```\n", tmp_path).run()


def test_a_drawing_is_not_taken_for_output(tmp_path: Path) -> None:
    page("```python\nx = 1\n```\n\nNow\n\nthe house:\n\n```text\nroof\n```\n", tmp_path).run()


def test_a_traceback_names_the_line_of_the_page(tmp_path: Path) -> None:
    with pytest.raises(PageError, match=r"line 5, in <module>"):
        page("# Page\n\nText\n```python\nraise ValueError\n```\n", tmp_path).run()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("```python\nraise ValueError('no')\n```", "ValueError: no"),
        ("```python\nprint(1)\n```\n```text\n2\n```", "expected\n2\n\ngot\n1"),
        ("```python\nprint(1)\n```\nwhich prints\n\n```text\n2\n```", "expected\n2"),
        ("```python\nprint(1)\n```\n```python\nprint(2)\n```\n```text\n1\n2\n```", "got\n2"),
        ("```ruby\nputs 1\n```", "unknown kind 'ruby'"),
        ("```\nx\n```", "unknown kind ''"),
        ("```toml\n[tenire]\ncpus = 3\n```", "cpus"),
        ("```toml\n[tenire\n```", "planted.md:1"),
        ("```json\n{'a': 1}\n```", "planted.md:1"),
        ("```bash\nmake nonsense\n```", "no such target"),
        ("```bash\npip install 'tenire[nonsense]'\n```", "no such extra"),
        ("```bash\nls\n```", "can be checked"),
        ("```bash\ntenire nonsense\n```", "exit code 2"),
        ("```console\ntenire --version\n```", "starts with \\$"),
        ("```console\n$ tenire --version\ntenire 99\n```", "expected\ntenire 99"),
    ],
)
def test_a_planted_mistake_is_caught(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(PageError, match=problem):
        page(text + "\n", tmp_path).run()


def test_known_commands_pass(tmp_path: Path) -> None:
    text = "```bash\ngit clone x\nmake demo  # once\npip install 'tenire[data,gui]'\nCORPUS=x make demo\n```\n"
    text += "```console\n$ tenire --version\ntenire ...\n$ tenire --version\n```\n"
    assert page(text, tmp_path).run() == 2
