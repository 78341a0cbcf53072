"""What is right of each field case, as a check under the name of its folder.

A check takes the case and the calls of its `cmd`. It yields what is wrong as text, and anything
else where nothing is. Where a refusal or a warning is right too, `call.told()` comes first.
"""

import json
import math
import os
import re
import shutil
import signal
import struct
import subprocess
import time

CHECKS = {}
PROSE = set()  # Checks of cases whose `cmd` is for people: they make the calls themselves.


class Skipped(Exception):
    """A case that cannot run here."""


def right_for(*names):
    def keep(check):
        CHECKS.update({name: check for name in names})
        return check

    return keep


def prose(check):
    PROSE.add(check)
    return check


def short(number):
    return "missing" if number is None else f"{number:.6g}"


def near(what, found, right, tolerance):
    """Nothing, if `found` is right to a share `tolerance` of it."""
    if found is None or not abs(found - right) <= tolerance * abs(right):
        return f"{what} is {short(found)}, not {short(right)}"


def below(what, found, most):
    if found is None or not found <= most:
        return f"{what} is {short(found)}, more than {short(most)}"


def wrong(what, right):
    return None if right else what


def difference(found, right):
    """Relative, in the root mean square."""
    pairs = zip(found.values, right.values, strict=True)
    return math.sqrt(sum((a - b) ** 2 for a, b in pairs)) / (right.rms() * math.sqrt(len(right.values)))


def pattern(call, name="a", count=3, shape=(8, 8), scale=1.0):
    """Samples that hold 3 + sample + 0.01 y + 0.0001 x times `scale`."""
    array = call.arrays.get(name)
    if array is None:
        return f"no samples: {call.message()}"
    found = (array.shape[0], *array.shape[-2:])
    if found != (count, *shape):
        return f"{found} samples, rows and columns instead of {(count, *shape)}"
    right = (3 + n + 0.01 * y + 0.0001 * x for n in range(count) for y in range(shape[0]) for x in range(shape[1]))
    pairs = zip(array.values, right, strict=True)
    return wrong(f"other values in {name}", all(abs(v - scale * r) <= 1e-5 * abs(scale * r) for v, r in pairs))


def pair(call, **about):
    """Samples of an input `a` in the pattern and a solution `u` = -a."""
    yield pattern(call, "a", **about)
    yield pattern(call, "u", scale=-1.0, **about)


def done(call):
    return wrong(f"exit {call.code}: {call.message()}", call.code == 0)


@right_for("C01-forward-constant-source")
def constant_source(case, calls):
    for call in calls:
        yield call.told() or near("u[16,16]", call.at("u_mean", 16, 16), -0.0734811, 0.02)


@right_for("C03-forward-rounded-source")
def rounded_source(case, calls):
    files = ["rd-1.npz", "rd-2.npz", "rd-3.npz", "r64-2.npz"]
    # Rounding to two decimals changes u by 0.14 %; an answer may be off by a few times that.
    for call, file, most in zip(calls, files, [0.05, 0.006, 0.006, 0.006], strict=True):
        right = case.simulated("poisson", file)
        yield (
            done(call)
            or call.told()
            or below(f"{file}: error of u", difference(call.arrays["u_mean"], right["u"]), most)
        )


@right_for("C04-darcy-other-values")
def darcy_other_values(case, calls):
    for call, right in zip(calls, [0.00306728, 0.0102625], strict=True):
        yield call.told() or near("largest u", call.largest("u_mean"), right, 0.02)


@right_for("C06-two-sensors-one-node")
def two_sensors_one_node(case, calls):
    for call, count in zip(calls, [200, 200, 3], strict=True):
        yield done(call) or near("count", call.count(), count, 0)
    yield near("u[10,10]", calls[2].at("u_mean", 10, 10), 0.0081855, 0.03)


@right_for("C07-sensors-off-the-grid")
def off_the_grid(case, calls):
    for call, most in zip(calls, [0.22, 0.22, 0.26, 0.26], strict=True):
        yield done(call) or below("error", call.score("error"), most)
        yield done(call) or near("coverage", call.score("coverage90"), 0.93, 0.08)


@right_for("C09-periodic-edge")
def periodic_edge(case, calls):
    edge, at_0, near_1, at_1 = calls
    yield done(edge) or near("wT[32,0]", edge.at("wT_mean", 32, 0), 0.4, 0.02)
    yield done(at_0)
    yield done(at_1) or near("error", at_1.score("error"), at_0.score("error") or 0, 0.1)
    # At 0.995 the column's values lie 0.16 of a spacing beside it: near, and what is left is told.
    within = near("error", near_1.score("error"), at_0.score("error") or 0, 0.1)
    yield done(near_1) or (None if near_1.told() else within)


@right_for("C12-one-outlier")
def one_outlier(case, calls):
    clean, outlier = calls
    yield done(clean) or wrong("a warning about clean values", not clean.told())
    yield near("error", clean.score("error"), 0.15, 0.4) or near("coverage", clean.score("coverage90"), 0.95, 0.08)
    yield wrong("nothing said about the outlier", outlier.told())


@right_for("C14-one-sensor-burgers")
def one_sensor(case, calls):
    table = [line.split(",") for line in (case.folder / "one-sensor.csv").read_text().split()[1:]]
    for call in calls:
        u = call.arrays.get("u")
        if u is None:
            yield call.message() or "no fields"
            continue
        misses = [u[n, round(float(y) * 31), 0] - float(v) for n in range(u.shape[0]) for _, y, _, v, _ in table]
        misfit = math.sqrt(sum(m * m for m in misses) / len(misses))
        yield call.told() or below("misfit at the sensor", misfit, 0.004)


@right_for("C16-values-on-the-boundary")
def on_the_boundary(case, calls):
    yield done(calls[0]) or wrong("a warning about zeros on the edge", not calls[0].told())
    for call in calls[1:]:
        yield wrong("nothing said about a value that the edge cannot have", call.told())


@right_for("C17-everything-observed")
def everything_observed(case, calls):
    for call, most in zip(calls, [0.02, 0.02, 0.02, 0.06], strict=True):
        yield done(call) or below("error", call.score("error"), most)


@right_for("C18-one-point")
def one_point(case, calls):
    for call in calls:
        yield done(call) or near("u[16,16]", call.at("u_mean", 16, 16), 0.011616, 0.01)
        # The coefficient's own deviation is 4.5.
        yield done(call) or wrong("a narrow answer", call.arrays["a_sd"].mean() > 2.5)


@right_for("C19-csv-flavours")
def csv_flavours(case, calls):
    first = calls[0].arrays.get("u_mean")
    for call in calls:
        if call.refused("separator", "semicolon"):
            continue
        yield done(call) or near("count", call.count(), 5, 0)
        yield done(call) or below("difference of the answers", difference(call.arrays["u_mean"], first), 1e-6)


@right_for("C21-rounding-at-the-edge")
def rounding_at_the_edge(case, calls):
    for call in calls:
        yield done(call) or near("count", call.count(), 2, 0)


@right_for("C23-field-with-holes")
def field_with_holes(case, calls):
    holes, large = calls
    observed = sum(v == v for v in case.arrays("u-with-holes.npz")["u"].values)
    yield (holes.refused("u_values", "u_index", "u_points") or done(holes) or near("count", holes.count(), observed, 0))
    yield wrong("both sizes are not named", large.refused("64.*32", "32.*64"))


@right_for("F01-npz-with-notes", "F13-soft-link", "F17-one-bad-sample")
def imported(case, calls):
    for call in calls:
        yield from pair(call)


@right_for("F03-float16")
def half_precision(case, calls):
    for call in calls:
        yield wrong("called no HDF5 file", "not a whole HDF5" not in call.err)
        yield call.refused("half", "float16", "f2", "16-bit") or done(call)
    for call in calls[1:]:
        yield call.code != 0 or near("a[0,1,0]", call.at("a", 0, 1, 0), 3.009765625, 0)


@right_for("F06-matlab-v4")
def matlab_4(case, calls):
    yield calls[0].refused("matlab.*4", "-v7", "version 4") or done(calls[0])


@right_for("F07-matlab-complex-sparse-struct")
def matlab_kinds(case, calls):
    for call, kind in zip(calls[:3], ["complex", "sparse", "run/f_data"], strict=True):
        yield call.refused(rf"{kind}(?!\.mat)") or done(call)
    yield from map(done, calls[3:])


@right_for("F08-matlab-v73")
def matlab_73(case, calls):
    yield from pair(calls[0])
    yield from pair(calls[1])
    yield wrong("complex numbers are not named", calls[2].refused(r"complex(?!\.mat)", "compound"))


@right_for("F09-square-by-accident")
def square_by_accident(case, calls):
    for call, count, (name, shape) in zip(calls, [8, 7, 8, 7], 2 * [("u", (8, 16))] + 2 * [("a", (8, 8))], strict=True):
        yield call.refused("--") or pattern(call, name, count, shape)


@right_for("F11-groups-of-the-well")
def groups(case, calls):
    yield pattern(calls[0], "w0", 4)
    yield pattern(calls[0], "wT", 4, scale=1e-4)
    yield from pair(calls[1])
    for file, pde, name in [
        ("one-group.h5", "poisson", "train/a"),
        ("the-well.hdf5", "navier-stokes", "t0_fields/vorticity"),
    ]:
        plain = case.shell(f"phys-instruct data import {file} --pde {pde} --out plain.npz")[0]
        yield wrong(f"{name} is not listed", plain.refused(name))


@right_for("F15-hdf5-storage")
def hdf5_storage(case, calls):
    for call in calls[:-1]:
        yield from pair(call)
    a = calls[-1].arrays.get("a")
    yield done(calls[-1]) or wrong("a holds other values than 0 and 1", set(a.values) == {0, 1})


@right_for("F19-matlab-vectors")
def matlab_vectors(case, calls):
    for call in calls[:2]:
        yield done(call) or wrong(f"shape {call.arrays['u'].shape}", call.arrays["u"].shape[0] == 1)
    yield calls[2].refused("transpose") or done(calls[2]) or near("samples", calls[2].arrays["u"].shape[0], 1, 0)


@right_for("F20-burgers-shock-mat")
def burgers_shock_mat(case, calls):
    about, _, taken = calls
    listed = re.sub(r"\s", "", about.out)
    yield done(about) or wrong(
        "shapes are not listed", all(w in listed for w in ("usol", "[64,1]", "[20,1]", "[64,20]"))
    )
    yield taken.refused("--") or done(taken) or wrong("not 20 x 64", taken.arrays["u"].shape[-2:] == (20, 64))


@right_for("N01-burgers-shock-256")
def burgers_shock(case, calls):
    (call,) = calls
    u = call.arrays.get("u")
    if u is None:
        return (yield call.message())
    # Spectral derivative at x = 1/2 in the row nearest to the steepest time. The unit interval is
    # half of the benchmark's and u half of its solution, so that the slopes are the same.
    row, n = u.lines()[130], u.shape[-1]
    slope = sum(
        row[k] * math.pi * (-1) ** (n // 2 - k) / math.tan(math.pi * (n // 2 - k) / n) for k in range(n) if 2 * k != n
    )
    # The samples of 256 points cannot show the slope; the report says on how many it was resolved.
    resolved = (call.data.get("inner_points") or 0) > n
    yield None if resolved else near("slope at the front", slope, -152.0, 0.03)


@right_for("N03-burgers-closed-form")
def burgers_closed_form(case, calls):
    u, nu = calls[0].arrays.get("u"), 0.05
    for i, row in enumerate(u.lines() if u else []):
        e = math.exp(-4 * math.pi**2 * nu * i / (u.shape[-2] - 1))
        angles = [2 * math.pi * j / len(row) for j in range(len(row))]
        right = [4 * math.pi * nu * e * math.sin(x) / (1.2 + e * math.cos(x)) for x in angles]
        yield below(f"error in row {i}", max(abs(a - b) for a, b in zip(row, right, strict=True)), 1e-4)
    yield done(calls[0])


@right_for("N05-burgers-step")
def burgers_step(case, calls):
    first = calls[0].arrays.get("u")
    yield done(calls[0]) or wrong("u leaves [0, 1]", all(-1e-3 <= v <= 1.001 for v in first.values))
    for row in first.lines() if first else []:
        yield near("mean of u", sum(row), sum(first.lines()[0]), 1e-4)
    for call in calls[1:]:
        yield wrong("the bound of nu is not named", call.refused("nu"))


@right_for("N06-poisson-centre")
def poisson_centre(case, calls):
    for call, middle, right in zip(calls[:3], [16, 32, 64], [0.0736147, 0.0736572, 0.0736678], strict=True):
        yield near("u at the centre", call.at("u", 0, middle, middle), right, 1e-5)
    yield wrong("square is not named", calls[3].refused("square")) if calls[3].code else None


@right_for("N07-helmholtz-resonance")
def helmholtz_resonance(case, calls):
    for call, right in zip(calls, [None, -39.05, -23.06, 0.03377], strict=True):
        spoken = bool(re.search("resonan|eigenvalue", call.out + call.err, re.I))
        yield spoken or (
            near("amplitude", call.at("u", 0, 16, 16), right, 0.05) if right else "infinite, and nothing said"
        )


@right_for("N08-darcy-coefficients")
def darcy_coefficients(case, calls):
    for call, right in zip(calls, [0.00433382, 0.0763179, 7.36147e11, 0.0377078, 0.0114178], strict=True):
        yield near("largest u", call.largest("u"), right, 0.02)


@right_for("N10-navier-stokes")
def navier_stokes(case, calls):
    for call in calls[:3]:
        if done(call):
            yield done(call)
            continue
        w0, found, decay = call.arrays["w0"], call.arrays["wT"], math.exp(-8 * math.pi**2 * 0.01 * 5)
        right = [w0.mean() + (v - w0.mean()) * decay for v in w0.values]
        yield below(
            "error of wT",
            max(abs(a - b) for a, b in zip(found.values, right, strict=True)),
            1e-3 * max(map(abs, right)),
        )
    rate = 8 * math.pi**2 * 0.002
    yield done(calls[3]) or near(
        "rms from rest", calls[3].arrays["wT"].rms(), 0.1 * (1 - math.exp(-10 * rate)) / rate, 0.01
    )
    yield wrong("the bound of nu is not named", calls[4].refused("nu"))


@right_for("T06-nan-loss")
def nan_loss(case, calls):
    constant, _, diverging = calls
    yield wrong("the constant channel is not named", constant.refused("constant", r"channel `?a\b"))
    yield done(calls[1])
    yield near("exit code of a rate that diverges", diverging.code, 1, 0)


TRAIN = "phys-instruct train configs/poisson-32.toml --grid 16 --count 64 --set data.validation=16 --set train.batch=8 "


def tensors(path):
    """A .safetensors file without the metadata, which hold the time that it took."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        head = json.loads(file.read(length))
        head.pop("__metadata__", None)
        return head, file.read()


def wait_for(file, process, seconds=60):
    """Waits until the file exists, the process ends or the seconds are over."""
    end = time.monotonic() + seconds
    while not file.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)


@right_for("T01-killed-and-resumed")
@prose
def killed_and_resumed(case, calls):
    train = TRAIN + "--steps 300 --set train.checkpoint_minutes=0.01 --out "
    killed = case.start(train + "r")
    # At the second checkpoint: a fast machine is at the end after two seconds, a slow one at none.
    wait_for(case.folder / "r/checkpoint.previous.safetensors", killed)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()

    cut = case.folder / "cut"
    shutil.copytree(case.folder / "r", cut)
    newest = cut / "checkpoint.safetensors"
    # A kill between two renames leaves the previous checkpoint alone.
    if not newest.exists():
        shutil.copy(cut / "checkpoint.previous.safetensors", newest)
    os.truncate(newest, 100_000)

    runs = case.shell(f"{train} r; {train} r2; {train} cut")
    yield from map(done, runs)
    yield wrong("nothing said of the cut checkpoint", re.search("checkpoint", runs[2].err))
    for name in ("checkpoint.safetensors", "model.safetensors"):
        whole, *others = [tensors(case.folder / run / name) for run in ("r2", "r", "cut")]
        yield wrong(f"{name} of a run killed and of one that was not differ", others == [whole, whole])
    other = train.replace("batch=8", "batch=4")
    for call in case.shell(f"{other} r; {train} r --seed 7"):
        yield wrong("another batch or seed in the same folder is not refused", call.refused())


@right_for("T03-disk-full")
@prose
def disk_full(case, calls):
    small = case.folder / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", small], capture_output=True).returncode:
        raise Skipped("needs root, to mount a small disk")
    try:
        (train,) = case.shell(TRAIN + "--steps 60 --out small/r")
        yield wrong("file and cause are not named", train.refused("small/r.*space"))
        shutil.rmtree(small / "r", ignore_errors=True)
        (small / "kept.npz").write_bytes(b"kept")
        free = shutil.disk_usage(small).free
        (small / "filler").write_bytes(bytes(max(free - 400_000, 0)))
        (sample,) = case.shell("phys-instruct sample poisson --count 64 --out small/kept.npz")
        yield wrong("file and cause are not named", sample.refused("kept.npz.*space"))
        yield wrong("the old file is gone", (small / "kept.npz").read_bytes() == b"kept")
        yield wrong("a half file is left", len(list(small.iterdir())) == 2)
    finally:
        subprocess.run(["umount", small], check=True)
