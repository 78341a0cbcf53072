"""Trainings: of data alone, of a known equation, of a config; what goes on, and what is refused."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import phys_instruct as pi
import pytest

CONFIG = """
pde = "poisson"
grid = 16
[data]
count = 32
validation = 8
[net]
width = 8
multipliers = [1]
[train]
steps = {steps}
batch = 4
warmup = 2
[distill]
batch = 4
levels = [10.0]
[[distill.phase]]
kind = "matching"
steps = 4
[[distill.phase]]
kind = "calibrate"
"""


@pytest.fixture(scope="module")
def pairs() -> pi.Fields:
    return pi.generate("poisson", 60, grid=16, seed=2)


def test_a_student_of_data_alone(pairs: pi.Fields, tmp_path: Path) -> None:
    texts: dict[str, Any] = {"units": {"a": "W/m^3"}, "meanings": {"a": "source"}}
    own = pi.PDE(fields=["a", "u"], input="a", name="own", origin=(5e6, 300.0), **texts)
    data = pi.Dataset(own, a=pairs["a"], u=pairs["u"], validation=10)
    assert len(data) == 60 and repr(data) == "<Dataset of own: 60 pairs of a, u on 16x16>"

    teacher = pi.train(data, minutes=0.1, out=tmp_path / "mine")
    assert teacher.kind == "teacher" and teacher.pde == "own"
    student = pi.distill(teacher, minutes=0.3)
    assert student.kind == "student" and student.path == tmp_path / "mine/student/model.safetensors"

    student.save(tmp_path / "mine.safetensors")
    said = (tmp_path / "mine.safetensors").read_bytes()
    assert b"W/m^3" in said and b"source" in said
    again = pi.load(tmp_path / "mine.safetensors")
    samples = again.sample(4)
    assert np.array_equal(samples.array, student.sample(4).array)
    assert samples.figures["count"] == 4 and "pde_error" not in samples.figures
    assert samples.measure(pairs)["pde_error"] is None

    # Places count from the origin on.
    assert again.grid.y[[0, -1]].tolist() == [5e6, 5e6 + 1] and again.grid.x[0] == 300
    heads = pi.Observations(u=[0.01, 0.02], y=[5e6 + 0.5, 5e6 + 0.7], x=[300.5, 300.2], sd=1e-3)
    found = again.solve(heads, task="inverse", ensemble=4)
    assert found.observations["y"].tolist() == [5e6 + 0.5, 5e6 + 0.7]
    with pytest.raises(pi.Error, match="outside the domain"):
        again.solve(pi.Observations(u=[0.01], y=[0.5], x=[0.5], sd=1e-3), task="inverse")

    # The same call finds its work done; another set is refused.
    same = pi.train(data, minutes=0.1, out=tmp_path / "mine")
    assert np.array_equal(same.sample(2, calls=4).array, teacher.sample(2, calls=4).array)
    other = pi.Dataset(own, a=pairs["a"], u=2 * pairs["u"], validation=10)
    with pytest.raises(pi.RequestError, match="other data; choose another out"):
        pi.train(other, minutes=0.1, out=tmp_path / "mine")
    with pytest.raises(pi.RequestError, match="teacher alone, with which distill goes on"):
        pi.fit(data, minutes=0.1, out=tmp_path / "mine")


def test_a_fit_is_a_judged_student(pairs: pi.Fields, tmp_path: Path) -> None:
    own = pi.PDE(fields=["a", "u"], input="a", name="own")
    data = pi.Dataset(own, a=pairs["a"], u=pairs["u"], validation=10)
    fitted = pi.fit(data, minutes=0.5, out=tmp_path / "fit", points=20)
    assert fitted.student.path == tmp_path / "fit/student/model.safetensors"
    assert (tmp_path / "fit/teacher/model.safetensors").is_file()

    # Ten problems are too few to be trusted by.
    assert not fitted.trusted
    assert any(reason.startswith("10 test problems are too few") for reason in fitted.reasons)
    assert fitted.answers["problems"] == 10 and fitted.answers["points"] == 20
    assert fitted.figures["count"] == 64 and fitted.figures["pde_error"] is None

    # The same call finds both trainings done and judges again, by the task that is asked for.
    again = pi.fit(data, minutes=0.5, out=tmp_path / "fit", points=20)
    assert again.answers["error"] == fitted.answers["error"]
    other = pi.fit(data, minutes=0.5, out=tmp_path / "fit", points=20, task="forward")
    assert other.answers["error"] != fitted.answers["error"]

    # Pairs that it was trained with are no test of it.
    more = pi.Dataset(own, a=pairs["a"], u=pairs["u"], validation=50)
    for asked, seed, words in ((more, 0, "with another validation"), (data, 1, "with another seed")):
        with pytest.raises(pi.RequestError, match=f"holds a run {words}; choose another out"):
            pi.fit(asked, minutes=0.5, out=tmp_path / "fit", seed=seed)
    with pytest.raises(pi.ConfigError, match="257 points of each test problem asked for: there are 256"):
        pi.fit(data, minutes=0.5, out=tmp_path / "fit", points=257)
    with pytest.raises(pi.ConfigError, match="noise = -1"):
        pi.fit(data, noise=-1.0)
    with pytest.raises(pi.Error, match="task"):
        pi.fit(data, task="sideways", out=tmp_path / "none")  # type: ignore[arg-type]


def test_a_dataset_of_a_known_equation_is_held_against_it(pairs: pi.Fields, tmp_path: Path) -> None:
    wrong = pi.Dataset("poisson", a=pairs["a"], u=pairs["u"] * 3, validation=10)
    with pytest.raises(pi.RequestError, match="no solutions of poisson.*unchecked=True"):
        pi.train(wrong, minutes=0.05, out=tmp_path / "wrong")
    right = pi.Dataset("poisson", a=pairs["a"], u=pairs["u"], validation=10)
    assert pi.train(right, minutes=0.05, out=tmp_path / "right").pde == "poisson"


def test_a_config_trains_as_on_the_command_line(tmp_path: Path, program) -> None:  # type: ignore[no-untyped-def]
    config = tmp_path / "tiny.toml"
    config.write_text(CONFIG.format(steps=6))
    teacher = pi.train(config, out=tmp_path / "teacher")
    student = pi.distill(teacher, config=config, out=tmp_path / "student")
    program("train", config, "--out", tmp_path / "theirs")
    program("distill", config, "--teacher", tmp_path / "teacher", "--out", tmp_path / "own")
    for ours, theirs in ((teacher, "theirs"), (student, "own")):
        other = pi.load(tmp_path / theirs)
        options = {"calls": 4} if ours is teacher else {}
        assert np.array_equal(ours.sample(3, **options).array, other.sample(3, **options).array)

    # A teacher of half as fine a grid begins a finer student.
    config.write_text(CONFIG.format(steps=6).replace("grid = 16", "grid = 32"))
    assert pi.distill(teacher, config=config, out=tmp_path / "finer").sample(2)["a"].shape == (2, 32, 32)


def test_ctrl_c_writes_the_checkpoint_and_the_same_call_goes_on(tmp_path: Path) -> None:
    config, out = tmp_path / "long.toml", tmp_path / "run"
    config.write_text(CONFIG.format(steps=100_000))
    code = (
        f"import phys_instruct as pi\nprint('begins')\n"
        f"try: pi.train({str(config)!r}, out={str(out)!r}, progress=False)\n"
        f"except pi.Interrupted as error: print(error)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, text=True
    )
    metrics = out / "config.toml"
    start = time.monotonic()
    while not metrics.exists() and time.monotonic() - start < 120:
        time.sleep(0.1)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=120)
    assert "the checkpoint is written, the same command resumes" in told
    assert (out / "checkpoint.safetensors").exists()


def test_data_that_do_not_fit_are_named(pairs: pi.Fields) -> None:
    a, u = pairs["a"], pairs["u"]
    with pytest.raises(pi.ShapeError, match="fields a found, a, u expected"):
        pi.Dataset("poisson", a=a)
    with pytest.raises(pi.ShapeError, match="`u` \\[60, 8, 16\\]"):
        pi.Dataset("poisson", a=a, u=u[:, :8])
    with pytest.raises(pi.DtypeError, match="`u`: dtype complex64"):
        pi.Dataset("poisson", a=a, u=u * np.complex64(1j))
    spoilt = u.copy()
    spoilt[7, 3, 3] = np.inf
    with pytest.raises(pi.RequestError, match="sample 7"):
        pi.Dataset("poisson", a=a, u=spoilt)
    with pytest.raises(pi.ConfigError, match="validation = 60"):
        pi.Dataset("poisson", a=a, u=u, validation=60)
    with pytest.raises(pi.ConfigError, match="19 pairs, of which a tenth is held out; at least 20"):
        pi.Dataset("poisson", a=a[:19], u=u[:19])
    with pytest.raises(pi.ConfigError, match="minutes"):
        pi.train(pi.Dataset("poisson", a=a, u=u, validation=10))


def test_too_few_pairs_are_refused(pairs: pi.Fields, tmp_path: Path) -> None:
    few = pi.Dataset("poisson", a=pairs["a"][:20], u=pairs["u"][:20], validation=5)
    with pytest.raises(pi.ConfigError, match="20 pairs found"):
        pi.train(few, minutes=0.1, out=tmp_path / "few")


def test_a_bundled_student_is_no_teacher(student: pi.Model, tmp_path: Path) -> None:
    with pytest.raises(pi.Error):
        pi.distill(student, minutes=0.1, out=tmp_path / "none")


def test_a_description_tells_values_and_time(tmp_path: Path) -> None:
    own = pi.PDE(fields=["a", "u"], input="a", name="own", values={"a": (3, 12)}, ranges={"u": (0, 9)})
    assert own.channels == ["a", "u"]
    line = pi.PDE(fields=["v", "w"], time="y", name="line", bases={"v": ("cosine", "fourier")})
    assert line.channels == ["v", "w"]
    oblong = pi.PDE(fields=["a", "u"], input="a", sides=(1, 2))
    fields = {name: np.zeros((30, 8, 16)) for name in ("a", "u")}
    assert pi.Dataset(oblong, **fields).sides == (1.0, 2.0)
    assert pi.Dataset(own, **fields).sides == (1.0, 1.0)

    # A file says the same as the arguments.
    table = '[pde]\nname = "own"\ninput = "a"\nsides = [1, 2]\n'
    names = "".join(f'[[pde.field]]\nname = "{name}"\nunit = "m²"\n' for name in ("a", "u"))
    (tmp_path / "mine.toml").write_text(table + names, encoding="utf-8")
    told = pi.PDE(str(tmp_path / "mine.toml"))
    assert told.name == "own" and told.sides == (1.0, 2.0)
    assert pi.Dataset(told, **fields).sides == (1.0, 2.0)
    assert pi.PDE(fields=["a", "u"], input="a", units={"a": "m² 𝜇"}).sides is None
    for wrong, words in [
        ({"input": "a", "values": {"u": (1, 2)}}, "only the input"),
        ({"input": "a", "values": {"a": (1, 2, 3)}}, "a list of two"),
        ({"input": "a", "ranges": {"a": (0, float("nan"))}}, "finite numbers expected"),
        ({"input": "a", "time": "y"}, "fields and input, or fields and time"),
        ({"time": "x"}, "`y`"),
        ({"input": "a", "units": {"q": "m"}}, "no field `q`"),
        ({"input": "a", "units": {"u": 3}}, "a text or a pair expected"),
        ({"input": "a", "units": {"u": "m\n"}}, "unit"),
        ({}, "fields and input, or fields and time"),
    ]:
        with pytest.raises(pi.ConfigError, match=words):
            pi.PDE(fields=["a", "u"], **wrong)  # type: ignore[arg-type]
