"""Runs the verbs at growing sizes, one process after another, and writes the tables of README.md.

Usage: measure.py PROGRAM MPI      (MPI: a program built with the feature, or an empty word)

Every figure is one run. Seconds are those that the program states, or else the process's; memory is
the most that the process had at any time. An exponent is the slope of a straight line through the
logarithms: 1 is in proportion.
"""
import functools
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM, MPI = sys.argv[1:3]
GRIDS = [32, 64, 128, 256, 512]
# The whole time of one process; a size that takes longer is left out, and said to be.
PATIENCE = 1200


def run(words, program=PROGRAM, before=()):
    """Runs the program: its output, its seconds, and the most memory that it had at any time, in GiB.
    None if it takes too long."""
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([*before, program, *map(str, words)], stdout=output, stderr=errors)
        limit = threading.Timer(PATIENCE, process.kill)
        limit.start()
        _, status, usage = os.wait4(process.pid, 0)
        limit.cancel()
        # The process has been waited for already.
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - start
        if process.returncode == -9 and seconds >= PATIENCE:
            return None
        errors.seek(0)
        output.seek(0)
        if process.returncode:
            sys.exit(f"{words}: {errors.read()}")
        return output.read(), seconds, usage.ru_maxrss / 2**20


def exponent(points):
    """The slope of a straight line through the logarithms of pairs."""
    logs = [(math.log(x), math.log(y)) for x, y in points if y]
    if len(logs) < 2:
        return math.nan
    mean_x, mean_y = (sum(values) / len(logs) for values in zip(*logs))
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)


def steps(folder):
    """The seconds of a training step, from the first and the last line of its metrics."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    first, last = lines[0], lines[-1]
    return (last["seconds"] - first["seconds"]) / (last["step"] - first["step"])


def generated(grid, scratch):
    # Enough samples for both cores, fewer where each takes long.
    count = max(4, 4096 // grid)
    out = scratch / f"data-{grid}.npz"
    done = run(["generate", "darcy", "--grid", grid, "--count", count, "--out", out])
    return done and (done[1] / count, done[2])


# Two tables hold the same run, which would have nothing left to do a second time.
@functools.cache
def trained(grid, batch, scratch, threads=2):
    folder = scratch / f"train-{grid}-{batch}-{threads}"
    settings = ["--grid", grid, "--count", 16, "--set", f"train.batch={batch}", "--set", "train.log_every=1"]
    words = ["train", "configs/darcy-64.toml", *settings, "--threads", threads]
    done = run([*words, "--until", 4, "--out", folder])
    return done and (steps(folder), done[2])


def teacher(grid, scratch):
    """A teacher of one step, whose quality is of no account for times."""
    folder = scratch / f"teacher-{grid}"
    settings = ["--grid", grid, "--count", 16, "--set", "train.batch=1", "--steps", 1]
    run(["train", "configs/darcy-64.toml", *settings, "--out", folder])
    return folder


def largest_student(scratch):
    """A student of Poisson's equation on the largest grid, of one step."""
    config, folders = "configs/poisson-64.toml", [scratch / name for name in ("large-teacher", "large-student")]
    settings = ["--grid", GRIDS[-1], "--count", 16]
    run(["train", config, *settings, "--set", "train.batch=1", "--steps", 1, "--out", folders[0]])
    settings += [word for phase in ("warm-start", "anchored", "calibrate") for word in ("--unset", f"distill.{phase}")]
    for key, value in {"data.validation": 8, "distill.batch": 1, "distill.matching.steps": 1}.items():
        settings += ["--set", f"{key}={value}"]
    run(["distill", config, "--teacher", folders[0], *settings, "--out", folders[1]])
    return folders[1] / "model.safetensors"


@functools.cache
def distilled(grid, batch, scratch):
    folder = scratch / f"distil-{grid}-{batch}"
    phases = ["warm-start", "calibrate", "anchored", "operator"]
    settings = ["--grid", grid, *(word for phase in phases for word in ("--unset", f"distill.{phase}"))]
    sizes = {"data.validation": 8, "distill.batch": batch, "distill.log_every": 1, "distill.evaluate_every": 0}
    # All its calls from the first step on: guidance as in the middle of a training.
    sizes |= {"distill.matching.guidance.start": 0, "distill.matching.guidance.ramp": 1}
    settings += [word for key, value in sizes.items() for word in ("--set", f"{key}={value}")]
    words = ["distill", "configs/darcy-64.toml", "--teacher", scratch / f"teacher-{grid}", *settings]
    done = run([*words, "--until", 6, "--out", folder])
    return done and (steps(folder), done[2])


def sampled(grid, scratch):
    """One call of a network of the bundled students' size, here the teacher's own network."""
    count = max(2, 2048 // grid)
    model = scratch / f"teacher-{grid}"
    words = ["sample", model, "--calls", 2, "--sampler", "euler", "--count", count, "--out", scratch / "drawn.npz"]
    done = run([*words, "--json"])
    return done and (json.loads(done[0])["seconds_per_sample"] / 2, done[2])


def solved(model, points, ensemble, scratch):
    observations = scratch / "observations.csv"
    run(["solve", model, "--task", "inverse", "--make-obs", observations, "--points", points, "--noise", 0.01])
    words = ["solve", model, "--task", "inverse", "--obs", observations, "--ensemble", ensemble, "--json"]
    done = run(words)
    return done and (json.loads(done[0])["seconds"], done[2])


def processes(count, scratch):
    folder = scratch / f"processes-{count}"
    words = ["train", "configs/darcy-64.toml", "--count", 64, "--until", 30, "--threads", 1]
    words += ["--set", "train.log_every=10", "--out", folder]
    before = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", str(count)]
    run(words, MPI, before)
    return steps(folder)


def weights(scratch):
    """The number of weights of the teacher's network."""
    info = run(["model", "info", scratch / "teacher-64", "--json"])[0]
    return json.loads(info)["parameters"]


RANKS = [1, 2, 4, 8, 16, 32, 64, 128, 256]
# Latency in seconds and bandwidth in bytes a second: the links' rates, and round figures for a message.
NETWORKS = {"200 Gbit/s InfiniBand, 1 us": (1e-6, 25e9), "10 Gbit/s Ethernet, 30 us": (30e-6, 1.25e9)}


def line(points):
    """The height at zero, at least 0, and the slope of a straight line through pairs."""
    xs, ys = zip(*points)
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x in xs)
    return max(0.0, mean_y - slope * mean_x), slope


def speeds(fixed, slope, count, batch, network):
    """How many times as fast a step of `batch` samples would be on a cluster of single threads. The model:
    the step of one thread for its slice, and a sum of all `count` gradients by recursive doubling, the
    whole of them each round."""
    latency, bandwidth = network
    one = fixed + batch * slope
    ranks = [r for r in RANKS if r <= batch]
    times = [fixed + batch / r * slope + math.log2(r) * (latency + 4 * count / bandwidth) for r in ranks]
    return ranks, [one / time for time in times]


def cluster(fixed, slope, count):
    """The table of the model for steps of 256 samples."""
    lines = [f"| processes | {' | '.join(map(str, RANKS))} |", "|---" * (len(RANKS) + 1) + "|"]
    for name, network in NETWORKS.items():
        _, found = speeds(fixed, slope, count, 256, network)
        lines.append(f"| {name}: times as fast | {' | '.join(map(figure, found))} |")
    about = f"{count} weights; a step takes {figure(1e3 * fixed)} ms and {figure(1e3 * slope)} ms a sample."
    picture = "![The model's curves, and the measured points](cluster.svg)"
    return f"**A cluster, on paper: not measured.** {about}\n\n" + "\n".join(lines) + f"\n\n{picture}\n"


def plot(fixed, slope, count, measured):
    """Draws the model's curves, and the measured `(processes, times as fast)` of steps of 32 samples."""
    try:
        import matplotlib
    except ImportError:
        print("cluster.svg was not drawn: it needs Matplotlib", file=sys.stderr)
        return
    matplotlib.use("svg")
    from matplotlib import pyplot

    # Text as text, and no date and random names: the same figures make the same file.
    pyplot.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "scaling"})
    figure_, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for (name, network), color in zip(NETWORKS.items(), ["tab:blue", "tab:orange"]):
        for batch, style in [(256, "-"), (32, "--")]:
            label = f"model: {name}, {batch} samples"
            axes.plot(*speeds(fixed, slope, count, batch, network), style, color=color, label=label)
    axes.plot(RANKS, RANKS, ":", color="gray", label="in proportion")
    if measured:
        axes.plot(*zip(*measured), "o", color="black", label="measured: two cores, 32 samples")
    axes.set(xscale="log", yscale="log", xlabel="processes of one thread", ylabel="times as fast as one")
    axes.set_xticks(RANKS, RANKS)
    axes.set_yticks(RANKS, RANKS)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure_.savefig(HERE / "cluster.svg", metadata={"Date": None})


def figure(value):
    return f"{value:.3g}"


def table(name, axis, sizes, results, unit):
    """A table of one axis: seconds and memory by size, and the exponents of both."""
    lines = [f"| {axis} | {' | '.join(map(str, sizes))} | exponent |", "|---" * (len(sizes) + 2) + "|"]
    for what, series in results.items():
        for kind, place in [(unit, 0), ("GiB", 1)]:
            values = [result[place] if result else None for result in series]
            cells = " | ".join("over 20 min" if value is None else figure(value) for value in values)
            slope = exponent([(size, value) for size, value in zip(sizes, values)])
            lines.append(f"| {what}, {kind} | {cells} | {slope:.2f} |")
    return f"**{name}**\n\n" + "\n".join(lines) + "\n"


def main():
    scratch = pathlib.Path(tempfile.mkdtemp())
    parts = []
    try:
        for grid in GRIDS:
            teacher(grid, scratch)
        results = {
            "data, a sample": [generated(grid, scratch) for grid in GRIDS],
            "teacher, a step of 4": [trained(grid, 4, scratch) for grid in GRIDS],
            "student, a matching step of 4": [distilled(grid, 4, scratch) for grid in GRIDS],
            "one network call": [sampled(grid, scratch) for grid in GRIDS],
        }
        parts.append(table("Points a side, Darcy", "points", GRIDS, results, "s"))

        batches = [1, 4, 16, 64]
        alone = [trained(64, batch, scratch, threads=1) for batch in batches]
        results = {"teacher, a step": [trained(64, batch, scratch) for batch in batches]}
        results["teacher, a step by one thread"] = alone
        results["student, a matching step"] = [distilled(64, batch, scratch) for batch in batches]
        parts.append(table("Batch, Darcy on 64 x 64", "batch", batches, results, "s"))

        counts = [10, 100, 1000, 10_000]
        models = ["poisson-128", "navier-stokes-128"]
        results = {model: [solved(model, count, 16, scratch) for count in counts] for model in models}
        parts.append(table("Observations, an answer of 16 members", "observations", counts, results, "s"))

        counts = [1000, 10_000]
        student = largest_student(scratch)
        results = {"poisson on 512 x 512": [solved(student, count, 16, scratch) for count in counts]}
        parts.append(table("Observations of large fields, an answer of 16 members", "observations", counts, results, "s"))

        members = [4, 16, 64, 256]
        results = {model: [solved(model, 100, count, scratch) for count in members] for model in ["darcy-64", "poisson-64"]}
        parts.append(table("Members, an answer from 100 observations", "members", members, results, "s"))

        measured = []
        if MPI:
            ranks = [1, 2, 4]
            times = [processes(count, scratch) for count in ranks]
            head = f"| processes | {' | '.join(map(str, ranks))} |\n|---|---|---|---|\n"
            row = f"| a step of 32, s | {' | '.join(map(figure, times))} |\n"
            measured = [(count, times[0] / value) for count, value in zip(ranks, times)]
            speed = " | ".join(figure(value) for _, value in measured)
            parts.append(f"**Processes of one thread, Darcy's teacher on 64 x 64**\n\n{head}{row}| times as fast | {speed} |\n")

        fixed, slope = line([(batch, result[0]) for batch, result in zip(batches, alone)])
        count = weights(scratch)
        plot(fixed, slope, count, measured)
        parts.append(cluster(fixed, slope, count))
    finally:
        shutil.rmtree(scratch)

    page = HERE / "README.md"
    before, _, rest = page.read_text().partition("<!-- tables -->")
    after = re.split("<!-- end of tables -->", rest)[-1]
    page.write_text(f"{before}<!-- tables -->\n\n" + "\n".join(parts) + f"\n<!-- end of tables -->{after}")


main()
