"""Answers: that they are those of the command line, what is refused, and what is said."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import phys_instruct as pi
import pytest

Seen = dict[str, np.ndarray]


def test_answers_are_the_command_line_s(
    student: pi.Model,
    seen: Seen,
    posterior: pi.Posterior,
    program: Callable[..., str],
    tmp_path: Path,
) -> None:
    rows = zip(seen["y"], seen["x"], seen["u"])
    lines = [f"u,{float(y)!r},{float(x)!r},{float(u)!r},0.0001" for y, x, u in rows]
    table = tmp_path / "obs.csv"
    table.write_text("field,y,x,value,sd\n" + "\n".join(lines) + "\n")

    out = tmp_path / "answer.npz"
    printed = json.loads(
        program("solve", student.path, "--task", "inverse", "--obs", table, "--ensemble", 16,
                "--out", out, "--json")
    )
    written = np.load(out)
    for name in ("a", "u"):
        assert np.array_equal(posterior[name], written[name])
        assert np.array_equal(posterior.mean[name], written[f"{name}_mean"])
        assert np.array_equal(posterior.sd[name], written[f"{name}_sd"])
    for key, value in posterior.figures.items():
        assert value == printed[key], key

    of_file = student.solve(table, "inverse", ensemble=16)
    assert np.array_equal(of_file.array, posterior.array)


def test_every_form_of_the_same_observations_has_the_same_answer(
    student: pi.Model, seen: Seen, posterior: pi.Posterior
) -> None:
    sd = np.full(60, 1e-4)
    long = {"field": ["u"] * 60, "value": seen["u"], "y": seen["y"], "x": seen["x"], "sd": sd}
    forms: list[Any] = [{**seen, "sd": sd}, long, pi.Observations(long)]
    pandas = pytest.importorskip("pandas")
    forms += [pandas.DataFrame({**seen, "sd": sd}), pandas.DataFrame(long)]
    for form in forms:
        answer = student.solve(form, "inverse", ensemble=16)
        assert np.array_equal(answer.array, posterior.array)


def test_rows_and_columns_and_whole_fields(student: pi.Model, truth: pi.Fields) -> None:
    rows, columns = np.arange(8, 56, 8), np.arange(8, 56, 8)
    field = np.full((64, 64), np.nan)
    field[rows, columns] = truth["u"][0, rows, columns]
    whole = pi.Observations(u=field, sd=1e-4)
    points = pi.Observations(u=field[rows, columns], row=rows, column=columns, sd=1e-4)
    mapped = pi.Observations({"u": field, "sd": 1e-4})
    assert len(whole) == len(points) == len(mapped) == 6
    one, *others = (student.solve(o, "inverse", ensemble=4) for o in (whole, points, mapped))
    assert all(np.array_equal(one.array, other.array) for other in others)


def _csv(path: Path, columns: dict[str, Any]) -> Path:
    """Writes columns as a CSV file, in which None is an empty cell."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values()))
    return path


def _tables(seen: Seen) -> dict[str, dict[str, Any]]:
    """Returns the same observations as tables of every kind."""
    u, y, x = (seen[name].tolist() for name in ("u", "y", "x"))
    rows, columns = ([round(64 * at - 0.5) for at in along] for along in (y, x))
    sd, nothing = [1e-4] * 60, [None] * 60
    plain = {"u": u, "y": y, "x": x, "sd": sd}
    return {
        "text beside": {**plain, "remark": [f'# {i}; "old",\tnorth' for i in range(60)]},
        "numbers beside": {**plain, "depth": list(range(60)), "u_min": u},
        "deviations of the field": {"u": u, "u_sd": sd, "y": y, "x": x},
        "other names": {"variable": ["u"] * 60, "val": u, "t": y, "x": x, "std": sd},
        "points": {"i": rows, "j": columns, "u": u, "error": sd},
        "capitals": {"U": u, "Y": y, "X": x, "Sd": sd},
        "a gap": {"u": [*u, None], "y": [*y, 0.5], "x": [*x, 0.5], "sd": [*sd, None]},
        "a field of gaps": {"a": nothing, "a_sd": nothing, "u": u, "u_sd": sd, "y": y, "x": x},
    }


def _given(posterior: pi.Posterior) -> np.ndarray:
    """Returns what was observed, without the answer."""
    return posterior.observations[["field", "y", "x", "value", "sd"]]


@pytest.mark.parametrize(
    "kind, passed_over",
    [
        ("text beside", "remark"),
        ("numbers beside", "depth, u_min"),
        ("deviations of the field", None),
        ("other names", None),
        ("points", None),
        ("capitals", None),
        ("a gap", None),
        ("a field of gaps", None),
    ],
)
def test_a_table_means_what_it_means_in_a_file(
    student: pi.Model,
    seen: Seen,
    posterior: pi.Posterior,
    tmp_path: Path,
    kind: str,
    passed_over: str | None,
) -> None:
    columns = _tables(seen)[kind]
    file = _csv(tmp_path / "obs.csv", columns)
    of_table, of_file = (student.solve(o, "inverse", ensemble=4) for o in (columns, file))
    assert np.array_equal(of_table.array, of_file.array)
    for answer, source in ((of_table, "the table"), (of_file, file)):
        assert np.array_equal(_given(answer), _given(posterior))
        notes = [note for note in answer.notes if note.startswith("passed over")]
        assert notes == ([f"passed over in {source}: {passed_over}"] if passed_over else [])


def test_frames_have_gaps_and_columns_of_any_kind(
    student: pi.Model, seen: Seen, posterior: pi.Posterior
) -> None:
    pandas = pytest.importorskip("pandas")
    more = {name: np.append(values, 0.5) for name, values in seen.items()}
    # A line that begins with such a mark is a comment in a file.
    beside = {"mark": [f"#{i}" for i in range(61)], "day": pandas.Timestamp("2026-01-01")}
    for kind, nothing in (("object", None), ("object", np.nan), ("Float64", pandas.NA)):
        frame = pandas.DataFrame({**beside, **more}).astype({"u": kind})
        frame.loc[60, "u"] = nothing
        obs = pi.Observations(frame, sd=1e-4)
        assert len(obs) == 61 and repr(obs) == "<Observations: 61 lines of mark, day, u, y, x, sd>"
        answer = student.solve(obs, "inverse", ensemble=4)
        assert np.array_equal(_given(answer), _given(posterior))
        assert "passed over in the table: mark, day" in answer.notes

    twice = pandas.concat([frame, frame[["u"]]], axis=1)
    with pytest.raises(pi.ObservationError, match="two columns `u`"):
        student.solve(twice, "inverse")


def test_every_number_of_a_table_is_taken_to_its_last_digit(
    student: pi.Model, seen: Seen
) -> None:
    rng = np.random.default_rng(2)
    moved = {name: values * rng.uniform(0.99, 1.01, 60) for name, values in seen.items()}
    for dtype in (np.float64, np.float32):
        given = {name: values.astype(dtype) for name, values in moved.items()}
        arrays = student.solve(pi.Observations(**given, sd=1e-4), "inverse", ensemble=2)
        table = student.solve({**given, "sd": 1e-4}, "inverse", ensemble=2)
        assert np.array_equal(_given(table), _given(arrays))


def test_a_table_is_refused_in_the_words_for_a_file(
    student: pi.Model, seen: Seen, tmp_path: Path
) -> None:
    u, y, x = (seen[name].tolist() for name in ("u", "y", "x"))
    one: dict[str, Any] = {"u": [1.0], "y": [0.5], "x": [0.5]}
    for columns, words in [
        ({"a": u, "u": u, "y": y, "x": x, "sd": y}, "`sd` of which field"),
        ({"p": u, "y": y, "x": x}, "nor one named after a, u"),
        ({"u": u, "t": y, "time": y, "x": x}, "the columns `t` and `time` mean the same"),
        ({"u": u, "y": y, "row": y}, "no columns `row` and `column`, or `y` and `x`"),
        ({"field": ["v"], "value": [1.0], "y": [0.5], "x": [0.5]}, "line 2: no field `v`"),
        ({**one, "u": ["wet"]}, "line 2: value `wet` is not a number"),
        ({**one, "u": [None]}, "all 1 values are NaN or empty"),
        ({**one, "y": [None]}, "line 2: no y"),
        ({**one, "y": [7.0]}, "line 2: y 7, x 0.5 is outside the unit square"),
    ]:
        with pytest.raises(pi.ObservationError, match=words):
            student.solve(columns, "reconstruct")
        with pytest.raises(pi.FileError, match=words):
            student.solve(_csv(tmp_path / "obs.csv", columns), "reconstruct")

    with pytest.raises(pi.ObservationError, match="no field is given"):
        pi.Observations({})
    with pytest.raises(pi.ShapeError, match="`y` has 59 values, `u` 60"):
        pi.Observations({"u": u, "y": y[:-1], "x": x})


def test_an_answer_has_what_one_looks_at(posterior: pi.Posterior, truth: pi.Fields) -> None:
    assert posterior["a"].shape == (16, 64, 64)
    assert posterior.mean["a"].shape == posterior.sd["a"].shape == (64, 64)
    low, high = posterior.quantile("a", [0.05, 0.95])
    assert low.shape == (64, 64) and (low <= high).all()
    above = posterior.probability_above("a", 6.0)
    assert above.shape == (64, 64) and above.min() >= 0 and above.max() <= 1
    assert posterior.warnings == []
    posterior.check()
    assert posterior.figures["points"] == 60 and 0 < posterior.figures["chi"] < 3
    score = posterior.score({name: truth[name] for name in truth})
    assert score["error"] < 0.5 and score["error"] < score["unobserved_error"]
    for several in (0, 2):
        wrong = {name: np.repeat(truth[name], several, axis=0) for name in truth}
        with pytest.raises(pi.ShapeError, match=f"truth: {several} samples found, one expected"):
            posterior.score(wrong)
    assert posterior.observations["sd"].max() == 1e-4


def test_an_answer_stays_as_it_was_found(posterior: pi.Posterior, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        posterior["a"][...] = 0.0
    with pytest.raises(pi.RequestError, match="a finite number"):
        posterior.probability_above("a", float("nan"))
    with pytest.raises(pi.RequestError, match="a finite number"):
        posterior.save(tmp_path / "answer.npz", above={"a": float("inf")})


def test_the_ensemble_is_of_the_law(posterior: pi.Posterior) -> None:
    """Every member explains the observations, and the members differ."""
    assert posterior.figures["chi_of_members"] < 3
    assert posterior.sd["a"].max() > 0


def test_what_does_not_fit_is_a_warning_and_fails_the_check(
    student: pi.Model, seen: Seen
) -> None:
    with pytest.warns(pi.AnswerWarning):
        answer = student.solve({**seen, "u": seen["u"] * 100, "sd": 1e-4}, "inverse", ensemble=4)
    assert answer.warnings
    with pytest.raises(pi.CheckError, match="warnings"):
        answer.check()


def test_observations_that_cannot_be_used_are_named(student: pi.Model, seen: Seen) -> None:
    def refused(error: type[Exception], words: str, *given: Any, **named: Any) -> None:
        with pytest.raises(error, match=words):
            student.solve(pi.Observations(*given, **named), "inverse")

    y, x, u = seen["y"], seen["x"], seen["u"]
    refused(pi.ObservationError, "no field `v`; darcy has a, u", v=u, y=y, x=x)
    refused(pi.ObservationError, "y and x, or row and column", u=u, y=y)
    refused(pi.ObservationError, "y and x, or row and column", u=u, y=y, x=x, row=y, column=x)
    refused(pi.ObservationError, "no field is given", y=y, x=x)
    refused(pi.ObservationError, "number 1: ", u=[1.0], y=[7.0], x=[0.5])
    refused(pi.ObservationError, "at least one", u=[np.nan], y=[0.5], x=[0.5])
    refused(pi.ObservationError, "standard deviation is -1", u=u, y=y, x=x, sd=-1.0)
    refused(pi.ObservationError, "given twice", {"u": u}, u=u, y=y, x=x)
    refused(pi.ShapeError, "`y` has 59 values, `u` 60", u=u, y=y[:-1], x=x)
    refused(pi.ShapeError, "`sd` has 2 values", u=u, y=y, x=x, sd=[1.0, 2.0])
    refused(pi.ShapeError, r"`sd` \[12, 5\] found, `u` is \[5, 12\]",
            u=u.reshape(5, 12), y=y.reshape(5, 12), x=x.reshape(5, 12), sd=np.ones((12, 5)))
    refused(pi.ShapeError, r"\[32, 32\] found, \[64, 64\] expected", u=np.zeros((32, 32)))
    refused(pi.ShapeError, "without places", u=u)
    refused(pi.DtypeError, "dtype", u=["wet", "dry"], y=[0.5, 0.6], x=[0.5, 0.5])
    refused(pi.DtypeError, "complex", u=u * 1j, y=y, x=x)
    with pytest.raises(pi.ObservationError, match="use reconstruct"):
        student.solve({"u": u, "y": y, "x": x}, "forward")
    with pytest.raises(pi.ConfigError, match="forward, inverse or reconstruct"):
        student.solve({"u": u, "y": y, "x": x}, "backward")  # type: ignore[arg-type]
    with pytest.raises(pi.ConfigError, match="task = None"):
        student.solve(seen, None)  # type: ignore[arg-type]
    with pytest.raises(pi.ConfigError, match="noise = '0.01': a number expected"):
        student.solve(seen, "inverse", noise="0.01")  # type: ignore[arg-type]
    with pytest.raises(pi.ConfigError, match="robust = 'no': True or False expected"):
        student.solve(seen, "inverse", robust="no")  # type: ignore[arg-type]
    for noise in (-0.1, float("nan"), float("inf")):
        with pytest.raises(pi.RequestError, match="noise = .*at least 0 expected"):
            student.solve(seen, "inverse", noise=noise)
    with pytest.raises(pi.ConfigError, match="input-space"):
        student.solve(seen, "inverse", method="magic")  # type: ignore[arg-type]


def test_values_of_several_fields_are_added(student: pi.Model, seen: Seen) -> None:
    a = pi.Observations(a=[12.0], y=[0.5], x=[0.5], sd=0.1)
    for of_u in (pi.Observations(**seen, sd=1e-4), pi.Observations({**seen, "sd": 1e-4})):
        both = of_u + a
        assert len(both) == 61
        answer = student.solve(both, "reconstruct", ensemble=4)
        assert answer.task == "reconstruct" and set(answer.observations["field"]) == {"a", "u"}


def test_views_and_other_dtypes_are_taken_as_they_are(
    student: pi.Model, seen: Seen, posterior: pi.Posterior
) -> None:
    """Strided views, big-endian numbers and masked arrays are values like any other."""
    strided = {name: np.repeat(values, 2)[::2] for name, values in seen.items()}
    swapped = {name: values.astype(">f8") for name, values in seen.items()}
    masked = {**seen, "u": np.ma.masked_array(np.append(seen["u"], 9.0), [False] * 60 + [True])}
    masked["y"], masked["x"] = (np.append(seen[name], 0.5) for name in ("y", "x"))
    for form in (strided, swapped, masked):
        answer = student.solve(pi.Observations(**form, sd=1e-4), "inverse", ensemble=16)
        assert np.array_equal(answer.array, posterior.array)


def test_frames_and_pictures(posterior: pi.Posterior, truth: pi.Fields, tmp_path: Path) -> None:
    for name in ("answer.npz", "answer.csv", "answer.nc"):
        posterior.save(tmp_path / name, above={"a": 6.0})
        assert (tmp_path / name).stat().st_size > 10_000
    assert {"a", "a_mean", "a_sd", "u"} <= set(np.load(tmp_path / "answer.npz"))
    with pytest.raises(pi.RequestError, match=".npz, .csv, .asc, .nc, .html, .png, .svg expected"):
        posterior.save(tmp_path / "answer.doc")
    pytest.importorskip("xarray")
    data = posterior.to_xarray()
    assert data["a"].dims == ("member", "y", "x") and data["a_mean"].dims == ("y", "x")
    pytest.importorskip("matplotlib")
    posterior.plot("a", truth=truth["a"][0]).savefig(tmp_path / "answer.png")
    all_fields = posterior.plot(truth=truth)
    all_fields.savefig(tmp_path / "all.png")
    # What a notebook asks for.
    assert all_fields._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


def test_arviz_takes_the_members_as_draws(posterior: pi.Posterior) -> None:
    arviz = pytest.importorskip("arviz")
    data = posterior.to_arviz()
    draws = data["posterior"]
    assert draws["a"].dims == ("chain", "draw", "y", "x") and draws["a"].shape == (1, 16, 64, 64)
    assert np.array_equal(draws["a"].values[0], posterior["a"])
    assert np.array_equal(draws["y"].values, posterior.grid.y)
    assert np.array_equal(data["observed_data"]["value"].values, posterior.observations["value"])
    assert set(data["observed_data"].data_vars) == {"field", "y", "x", "value", "sd"}
    table = arviz.summary(draws["u"].isel(y=[32], x=[32]), kind="stats", round_to="none")
    assert table["mean"].iloc[0] == pytest.approx(posterior.mean["u"][32, 32], rel=1e-5)


def test_arviz_from_1_0_on_takes_a_tree(
    posterior: pi.Posterior, monkeypatch: pytest.MonkeyPatch
) -> None:
    arviz = pytest.importorskip("arviz")
    monkeypatch.delattr(arviz, "InferenceData", raising=False)
    tree = posterior.to_arviz()
    assert type(tree).__name__ == "DataTree" and set(tree.children) == {"posterior", "observed_data"}


def test_pictures_and_pages_are_the_command_line_s(
    student: pi.Model,
    seen: Seen,
    posterior: pi.Posterior,
    truth: pi.Fields,
    tmp_path: Path,
    program: Callable[..., str],
) -> None:
    file, theirs = _csv(tmp_path / "obs.csv", {**seen, "sd": [1e-4] * 60}), tmp_path / "theirs.svg"
    program("solve", student.path, "--task", "inverse", "--obs", file, "--out", theirs)
    posterior.save(tmp_path / "own.svg")
    assert (tmp_path / "own.svg").read_bytes() == theirs.read_bytes()
    posterior.save(tmp_path / "own.PNG")
    assert (tmp_path / "own.PNG").read_bytes().startswith(b"\x89PNG")

    # Two channels of five panels and three bars, and no picture of another address.
    posterior.save(tmp_path / "own.html", truth=truth)
    page = (tmp_path / "own.html").read_text()
    assert page.count("<image") == 2 * (5 + 3) and "src=" not in page
    call = f"phys_instruct.load({student.path}).solve(observations, inverse, ensemble=16, seed=0)"
    for text in ("within the 90 % interval", "One more value", "expected from the others", call):
        assert text in unescape(page).replace('"', ""), text
    with pytest.raises(pi.RequestError, match="truth is shown by pictures and pages alone"):
        posterior.save(tmp_path / "own.nc", truth=truth)
    with pytest.raises(pi.RequestError, match="above is shown by files of fields alone"):
        posterior.save(tmp_path / "own.svg", above={"a": 6.0})
    with pytest.raises(pi.ShapeError, match="2 samples found"):
        posterior.save(tmp_path / "own.svg", truth={k: np.repeat(truth[k], 2, 0) for k in truth})
    with pytest.raises(pi.RequestError, match="found; the answer is of"):
        posterior.save(tmp_path / "own.svg", truth={k: truth[k][:, ::2, ::2] for k in truth})


def test_observations_stand_beside_the_answer_as_in_a_table(
    student: pi.Model,
    seen: Seen,
    posterior: pi.Posterior,
    tmp_path: Path,
    program: Callable[..., str],
) -> None:
    own = posterior.observations
    assert np.array_equal(own["number"], np.arange(1, 61))
    assert (own["answer_sd"] >= 0).all()
    assert np.isfinite(own["left_out"]).all() and (own["left_out_sd"] > 0).all()

    file, table = _csv(tmp_path / "obs.csv", {**seen, "sd": [1e-4] * 60}), tmp_path / "table.csv"
    program("solve", student.path, "--task", "inverse", "--obs", file, "--table", table)
    with table.open() as text:
        assert text.readline().strip().split(",") == list(own.dtype.names or ())
    theirs = np.genfromtxt(table, delimiter=",", names=True, dtype=None, encoding=None)
    for name in set(own.dtype.names or ()) - {"sd", "name"}:
        assert np.array_equal(own[name], theirs[name]), name
    assert set(own["name"]) == {""}
    # The table's errors have that of the model's own pairs in them, and chi counts in these.
    assert (own["sd"] == 1e-4).all() and (theirs["sd"] > 1e-4).all()
    off = np.abs(own["answer"] - own["value"]) / theirs["sd"]
    assert np.allclose(own["chi"], off)


def test_places_keep_their_names(student: pi.Model, seen: Seen) -> None:
    wells = [f"B {i}" for i in range(59)] + [None]
    one = pi.Observations({**seen, "well": wells})
    other = pi.Observations(u=[0.005], y=[0.9], x=[0.9], name=["C, deep"], sd=1e-4)
    unnamed = pi.Observations(u=[0.001], y=[0.1], x=[0.1], sd=1e-4)
    posterior = student.solve(one + unnamed + other, task="inverse", ensemble=4)
    expected = [*wells[:-1], "", "", "C, deep"]
    assert posterior.observations["name"].tolist() == expected
    assert not any("well" in note for note in posterior.notes)


def test_an_answer_is_checked_at_the_places_of_its_observations(
    student: pi.Model,
    seen: Seen,
    posterior: pi.Posterior,
    tmp_path: Path,
    program: Callable[..., str],
) -> None:
    assert posterior.checked is None
    obs = {**seen, "sd": 1e-4}
    answer = student.solve(obs, "inverse", check=1)
    assert np.array_equal(answer.array, posterior.array)

    # Errors that nobody states are those that were estimated.
    answer = student.solve(seen, "inverse", check=3)
    file = _csv(tmp_path / "obs.csv", seen)
    words = ("solve", student.path, "--task", "inverse", "--obs", file, "--check", 3, "--json")
    theirs = json.loads(program(*words))["check"]
    assert answer.checked is not None
    assert {**answer.checked, "seconds": 0} == {**theirs, "seconds": 0}

    # Problems of one's own truths instead, which have to be enough.
    own = pi.generate("darcy", 2, grid=64, seed=11)
    held_out = {name: own[name] for name in own}
    two = student.solve(obs, "inverse", ensemble=4, check=2, held_out=held_out).checked
    assert two is not None and two["problems"] == 2 and 0 < two["error"] < 1
    with pytest.raises(pi.RequestError, match="check = 3: held_out has 2 samples"):
        student.solve(obs, "inverse", ensemble=4, check=3, held_out=held_out)
    coarse = {name: values[:, ::2, ::2] for name, values in held_out.items()}
    with pytest.raises(pi.RequestError, match="samples are of a, u on a grid of 32 x 32"):
        student.solve(obs, "inverse", ensemble=4, check=2, held_out=coarse)
    bad = {name: np.where(values == values.max(), np.nan, values) for name, values in held_out.items()}
    with pytest.raises(pi.NotFiniteError, match="of the test problems"):
        student.solve(obs, "inverse", ensemble=4, check=2, held_out=bad)
    with pytest.raises(pi.ConfigError, match="samples of poisson, the model is of darcy"):
        student.solve(obs, "inverse", check=1, held_out=pi.generate("poisson", 1, grid=64))
    with pytest.raises(pi.ConfigError, match="give check, too"):
        student.solve(obs, "inverse", held_out=held_out)
    with pytest.raises(pi.ConfigError, match="check = 0: at least 1"):
        student.solve(obs, "inverse", check=0)
