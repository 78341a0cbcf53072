"""Samples: arrays, figures, options, and that they are those of the command line."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import phys_instruct as pi
import pytest


def test_the_package_brings_the_students_on_64() -> None:
    names = ["burgers-64", "darcy-64", "helmholtz-64", "navier-stokes-64", "poisson-64"]
    assert pi.bundled() == names
    assert {pi.load(name).pde for name in names} == set(pi.pdes())
    assert pi.load("darcy").path == pi.load("darcy-64").path


def test_samples_are_views_of_one_array(student: pi.Model) -> None:
    samples = student.sample(3)
    assert list(samples) == ["a", "u"] and samples.array.shape == (3, 2, 64, 64)
    assert samples["u"].dtype == np.float32
    assert np.shares_memory(samples["u"], samples.array)
    assert samples.array.flags.c_contiguous and samples.array.flags.writeable


def test_a_sample_is_a_function_of_the_seed_and_its_number(student: pi.Model) -> None:
    many = student.sample(70, seed=3).array
    assert np.array_equal(student.sample(5, seed=3).array, many[:5])
    assert not np.array_equal(student.sample(5, seed=4).array, many[:5])


@pytest.mark.parametrize("calls, polish", [(1, 0), (2, 2)])
def test_samples_are_the_command_line_s(
    student: pi.Model, program: Callable[..., str], tmp_path: Path, calls: int, polish: int
) -> None:
    out = tmp_path / "samples.npz"
    options = ["--calls", calls, "--polish", polish, "--seed", 5, "--count", 8]
    printed = json.loads(
        program("sample", student.path, *options, "--out", out, "--json")
    )
    samples = student.sample(8, calls=calls, polish=polish, seed=5)
    written = np.load(out)
    for name in samples:
        assert np.array_equal(samples[name], written[name]), name

    figures = samples.figures
    timed = {"seconds_per_sample", "polish", "schema"}
    assert set(printed) - {"schema"} == set(figures)
    for key in set(figures) - timed:
        assert figures[key] == printed[key], key


def test_figures_against_data_of_one_s_own(student: pi.Model) -> None:
    held_out = pi.generate("darcy", 16, seed=11)
    figures = student.sample(4).measure(held_out)
    assert figures["reference_count"] == 16
    # A single sample has errors, and no distribution.
    single = student.sample(1).measure(held_out)
    assert single["pde_error"] > 0
    assert "sliced_wasserstein" not in single


def test_a_model_is_pickled_as_its_file(student: pi.Model, tmp_path: Path) -> None:
    again = pickle.loads(pickle.dumps(student))
    assert again.path == student.path
    assert np.array_equal(again.sample(2, seed=3)["u"], student.sample(2, seed=3)["u"])

    copy = tmp_path / "copy.safetensors"
    student.save(copy)
    pickled = pickle.dumps(pi.load(copy))
    pi.load("poisson-64").save(copy)
    with pytest.raises(pi.RequestError, match="another model than the one that was pickled"):
        pickle.loads(pickled)


def test_what_cannot_be_drawn_is_refused(student: pi.Model) -> None:
    with pytest.raises(pi.ConfigError, match="takes 1 to 4 network calls, not 9"):
        student.sample(1, calls=9)
    with pytest.raises(pi.ConfigError, match="count = 0: at least 1"):
        student.sample(0)
    with pytest.raises(pi.ConfigError, match="whole number"):
        student.sample(1.5)  # type: ignore[arg-type]
    with pytest.raises(pi.ConfigError, match="heun or euler"):
        student.sample(1, sampler="rk4")  # type: ignore[arg-type]
    with pytest.raises(pi.ConfigError, match="seed = -1"):
        student.sample(1, seed=-1)
    with pytest.raises(KeyError, match="a, u"):
        student.sample(1)["v"]


def test_models_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(pi.RequestError, match="did you mean `darcy`"):
        pi.load("darcyy")
    with pytest.raises(pi.RequestError, match="no such file"):
        pi.load(tmp_path / "none.safetensors")
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nothing of the kind")
    with pytest.raises(pi.FileError, match="bad.safetensors"):
        pi.load(bad)
    assert issubclass(pi.FileError, OSError) and issubclass(pi.FileError, pi.Error)


def test_a_model_is_written_and_read(student: pi.Model, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    student.save(path)
    again = pi.load(path)
    # Models are written in the newest form.
    assert {**again.card, "format": 0} == {**student.card, "format": 0}
    assert np.array_equal(again.sample(2).array, student.sample(2).array)


def test_one_sample_costs_little_more_than_the_library_s_own_time(student: pi.Model) -> None:
    def over() -> float:
        start = time.perf_counter()
        samples = student.sample(1, progress=False)
        spent = time.perf_counter() - start
        own = samples.seconds_per_sample
        assert own is not None
        return spent - own

    assert min(over() for _ in range(200)) < 2e-4


def test_samples_in_files_and_frames(student: pi.Model, tmp_path: Path) -> None:
    samples = student.sample(2)
    samples.save(tmp_path / "s.npz")
    samples.save(str(tmp_path / "S.NPZ"))
    for name in ("s.npz", "S.NPZ"):
        assert np.array_equal(np.load(tmp_path / name)["a"], samples["a"])
    for name in ("s.dat", "s", "s.npz.gz"):
        with pytest.raises(pi.RequestError, match=f"{name}: .npz, .png or .svg expected"):
            samples.save(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["S.NPZ", "s.npz"]
    pytest.importorskip("xarray")
    data = samples.to_xarray()
    assert data["a"].dims == ("sample", "y", "x") and data["y"].size == 64


def test_a_picture_is_the_command_line_s(
    student: pi.Model, program: Callable[..., str], tmp_path: Path
) -> None:
    program("sample", student.path, "--count", 8, "--seed", 5, "--out", tmp_path / "theirs.svg")
    samples = student.sample(8, seed=5)
    samples.save(tmp_path / "own.svg")
    assert (tmp_path / "own.svg").read_bytes() == (tmp_path / "theirs.svg").read_bytes()
    samples.save(tmp_path / "own.png")
    assert (tmp_path / "own.png").read_bytes().startswith(b"\x89PNG")


def test_pictures(student: pi.Model, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    samples = student.sample(2)
    samples.plot().savefig(tmp_path / "samples.png")
    assert (tmp_path / "samples.png").stat().st_size > 1000
