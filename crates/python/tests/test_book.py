"""The blocks of the book's page, one after the other, and what the page and the sources promise."""

from __future__ import annotations

import doctest
import inspect
import re
from pathlib import Path

import phys_instruct as pi
import pytest

PAGE = Path(__file__).resolve().parents[3] / "book/src/python.md"
#: A time for a training of the page, and the one that is enough for the test.
LONG, SHORT = "minutes=2", "minutes=0.3"


def test_the_page_s_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    # An extraction that finds nothing would pass for ever.
    assert len(blocks) >= 4 and LONG in blocks[-1]
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block.replace(LONG, SHORT), str(PAGE), "exec"), names)
    assert (tmp_path / "mine.safetensors").exists()


def test_the_package_s_example_runs() -> None:
    done = doctest.testmod(pi)
    assert done.attempted >= 3 and done.failed == 0


def _public() -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name in pi.__all__:
        value = getattr(pi, name)
        found.append((name, value))
        if inspect.isclass(value):
            found += [
                (f"{name}.{key}", member)
                for key, member in vars(value).items()
                if not key.startswith("_") and (callable(member) or isinstance(member, property))
            ]
    return found


def test_the_page_names_exceptions_that_there_are() -> None:
    named = re.findall(r"`(?:pi\.)?([A-Z]\w+(?:Error|Interrupted|Warning))`", PAGE.read_text())
    builtin = {"ValueError", "OSError"}
    assert len(named) > 6 and all(hasattr(pi, name) for name in named if name not in builtin)


def test_everything_public_is_explained() -> None:
    silent = [name for name, value in _public() if not inspect.getdoc(value)]
    assert silent == ["__version__"] or silent == []


def test_every_exception_is_the_package_s() -> None:
    errors = [value for name, value in _public() if name.endswith("Error")]
    assert len(errors) > 10
    assert all(inspect.isclass(error) and issubclass(error, pi.Error) for error in errors)
