"""What the tests share: the program, a prepared student, observations of a known truth."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import phys_instruct as pi
import pytest

ROOT = Path(__file__).resolve().parents[3]


def pytest_configure() -> None:
    # The tests are of the wheel that was installed, not of the sources.
    assert ROOT not in Path(pi.__file__).parents or "site-packages" in pi.__file__


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A cache folder that the program and the package share."""
    os.environ["PHYS_INSTRUCT_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def program() -> Callable[..., str]:
    """Runs the program that scripts/python-check names, and returns its stdout."""
    path = os.environ.get("PHYS_INSTRUCT")
    if path is None:
        pytest.skip("PHYS_INSTRUCT names no program")

    def run(*arguments: object) -> str:
        words = [path, *map(str, arguments)]
        done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def student() -> pi.Model:
    return pi.load("darcy-64")


@pytest.fixture(scope="session")
def truth() -> pi.Fields:
    return pi.generate("darcy", 1, grid=64, seed=7)


@pytest.fixture(scope="session")
def seen(truth: pi.Fields) -> dict[str, np.ndarray]:
    """Sixty values of the solution at points of the grid, in coordinates, without an error."""
    rng = np.random.default_rng(1)
    rows, columns = rng.integers(4, 60, (2, 60))
    return {
        "u": truth["u"][0, rows, columns].astype(np.float64),
        "y": truth.grid.y[rows],
        "x": truth.grid.x[columns],
    }


@pytest.fixture(scope="session")
def posterior(student: pi.Model, seen: dict[str, np.ndarray]) -> pi.Posterior:
    return student.solve(pi.Observations(**seen, sd=1e-4), "inverse", ensemble=16)
