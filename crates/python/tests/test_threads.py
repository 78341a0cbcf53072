"""Threads, forks and Ctrl-C."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import phys_instruct as pi
import pytest


def test_several_threads_get_what_one_gets(student: pi.Model) -> None:
    alone = [student.sample(8, seed=seed).array for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda seed: student.sample(8, seed=seed).array, range(6)))
    assert all(np.array_equal(one, other) for one, other in zip(alone, together))


def test_several_threads_ask_one_student(
    student: pi.Model, seen: dict[str, np.ndarray], posterior: pi.Posterior
) -> None:
    fresh = pi.load("darcy-64")
    obs = pi.Observations(**seen, sd=1e-4)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(fresh.solve, obs, "inverse", ensemble=16) for _ in range(3)]
    assert all(np.array_equal(each.result().array, posterior.array) for each in asked)


def test_the_interpreter_runs_on_while_the_library_works(student: pi.Model) -> None:
    ticks = 0
    stop = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not stop.wait(0.001):
            ticks += 1

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.monotonic()
    student.sample(256, calls=2)
    spent = time.monotonic() - start
    stop.set()
    thread.join()
    # With the lock held the whole time there would be none.
    assert ticks > 20 * spent


def _draw() -> str:
    try:
        pi.load("poisson").sample(1)
    except pi.ForkError as error:
        return str(error)
    return "drawn"


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_fork_is_refused_and_a_new_process_works(student: pi.Model) -> None:
    student.sample(1)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert "spawn" in pool.apply(_draw)

    # A process that forks before the library works is as good as new.
    code = (
        "import multiprocessing, phys_instruct as pi\n"
        "def draw(seed): return pi.load('poisson').sample(1, seed=seed).array.shape\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool: print(pool.map(draw, [0, 1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert "(1, 2, 64, 64)" in done.stdout, done.stderr


def _interrupted(code: str, after: str) -> subprocess.CompletedProcess[str]:
    """Runs code, and presses Ctrl-C once it has printed ``after``."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    told = ""
    while after not in told:
        line = process.stdout.readline()
        assert line, process.stderr and process.stderr.read()
        told += line
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, told + out, err)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT")
@pytest.mark.parametrize(
    "work",
    [
        "student.sample(1_000_00, calls=2, progress=False)",
        "pi.generate('navier-stokes', 100_000, progress=False)",
        "student.sample(20_000).figures",
        "student.solve({'u': [1e-3] * 3, 'y': [.2, .3, .4], 'x': [.5, .5, .5], 'sd': 1e-3}, "
        "'inverse', ensemble=20_000)",
        "student.solve({'u': [1e-3], 'y': [.2], 'x': [.5], 'sd': 1e-3}, 'inverse', check=100_000)",
    ],
)
def test_ctrl_c_ends_the_work(work: str) -> None:
    code = f"""
import phys_instruct as pi
student = pi.load('darcy-64')
print('begins')
try:
    {work}
except KeyboardInterrupt:
    print('interrupted')
"""
    start = time.monotonic()
    done = _interrupted(code, "begins")
    assert "interrupted" in done.stdout, done.stderr
    assert time.monotonic() - start < 60


def test_an_error_of_the_bar_ends_the_work(
    student: pi.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception in a callback is that of the call."""
    from phys_instruct import _progress

    def fail(*_: object) -> None:
        raise ZeroDivisionError("no bar")

    monkeypatch.setattr(_progress, "PATIENCE", 0.0)
    monkeypatch.setattr(_progress.Progress, "_show", fail)
    with pytest.raises(ZeroDivisionError, match="no bar"):
        student.sample(256, progress=True)


def test_progress_is_shown_where_it_is_asked_for(
    student: pi.Model, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from phys_instruct import _progress

    monkeypatch.setattr(_progress, "PATIENCE", 0.0)
    student.sample(256, calls=2)
    assert capsys.readouterr().err == ""
    student.sample(256, calls=2, progress=True)
    assert "sampling" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    student.sample(256, calls=2, progress=True)
    assert "sampling: " in capsys.readouterr().err


def test_work_in_one_piece_shows_its_seconds(
    seen: dict[str, np.ndarray], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from phys_instruct import _progress

    monkeypatch.setattr(_progress, "PATIENCE", 0.0)
    fresh = pi.load("darcy-64")
    obs = pi.Observations(**seen, sd=1e-4)
    fresh.solve(obs, "inverse", ensemble=64)
    assert capsys.readouterr().err == ""
    fresh.solve(obs, "inverse", ensemble=64, check=4, progress=True)
    shown = capsys.readouterr().err
    assert "answering: 0 s" in shown and "test problems" in shown


def test_package_is_typed() -> None:
    folder = Path(pi.__file__).parent
    assert (folder / "py.typed").exists() and (folder / "_native.pyi").exists()
