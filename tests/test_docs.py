"""What the documents name exists: the files of their links, the verbs of the Makefile, modules that are run, settings."""

import importlib.util
import re
from dataclasses import fields
from pathlib import Path

import pytest

from retouch_server.config import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    path for where in ("", "docs/**/", "benchmarks/", "training/", "model_repository/*/") for path in ROOT.glob(f"{where}*.md")
]
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)")


def named(pattern: str) -> dict[str, str]:
    """What the pattern's group found, and the page that it was last found on."""
    return {name: str(page.relative_to(ROOT)) for page in PAGES for name in re.findall(pattern, page.read_text())}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page: Path) -> None:
    assert [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()] == []


def test_links_are_found() -> None:
    assert LINK.findall("[a](b.md) ![c](d/e.webp) [f](g.md#h) [i](https://j) [k](#l)") == ["b.md", "d/e.webp", "g.md"]
    assert len(PAGES) > 20


def test_settings_exist() -> None:
    known = {PREFIX + setting.name.upper() for setting in fields(Settings)}
    settings = named(rf"\b({PREFIX}[A-Z_]+[A-Z])\b")
    assert len(settings) > 10
    assert {name: page for name, page in settings.items() if name not in known} == {}


def test_verbs_exist() -> None:
    known = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    verbs = named(r"(?m)(?:`|^    )make ([a-z0-9-]+)")
    assert {"demo", "test", "drill"} <= verbs.keys()
    assert {name: page for name, page in verbs.items() if name not in known} == {}


def test_modules_exist() -> None:
    modules = named(r"python -m ((?:benchmarks|training|retouch_server|k8s)[\w.]*)")
    assert len(modules) > 10
    assert {name: page for name, page in modules.items() if importlib.util.find_spec(name) is None} == {}
