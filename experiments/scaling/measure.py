"""Runs the verbs at growing sizes, one process after another, and writes the tables of README.md.

Usage: measure.py PROGRAM MPI      (MPI: a program built with the feature)

Every figure is the median of three processes, or of one that takes long. The three are of three passes
over all figures, so that a busy minute of the machine spoils one of them at most. Seconds are those that the
program states, or else the process's; memory is the most that the process had at any time. An exponent
is the slope of a straight line through the logarithms: 1 means proportional.

Figures are kept in runs/scaling as they are measured, and the same command goes on from them.
"""
import hashlib
import importlib.util
import inspect
import json
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM, MPI = sys.argv[1:3]
SCRATCH = pathlib.Path("runs/scaling")
GRIDS = [32, 64, 128, 256, 512]
# The seconds of one process; what takes longer is left out, and said to be.
PATIENCE = 3600
# The number of passes, and the seconds from which a figure is measured in the first alone.
PASSES, LONG = 3, 20


class TookTooLong(Exception):
    pass


class Kept:
    """The figures measured so far by these programs on this machine, in a file."""

    def __init__(self):
        of = {"machine": machine(), "programs": [checksum(PROGRAM), checksum(MPI)]}
        self.path = SCRATCH / "figures.json"
        self.values = {"of": of}
        self.passes = 1
        if self.path.exists():
            self.values = json.loads(self.path.read_text())
        if self.values["of"] != of:
            sys.exit(f"{SCRATCH} holds figures of another program or machine: move it away")

    def __call__(self, measure, *arguments):
        """The medians of what `measure` returns, from as many runs as passes. None if it took too long."""
        # A measurement that was changed is made anew; one of which a helper was changed needs a new folder.
        way = hashlib.sha256(inspect.getsource(measure).encode()).hexdigest()[:8]
        key = " ".join(map(str, (measure.__name__, way, *arguments)))
        own = self.values.setdefault(key, {"runs": [], "long": False})
        if len(own["runs"]) < self.passes and not own["long"]:
            print(f"pass {self.passes}: {key}", file=sys.stderr)
            start = time.monotonic()
            try:
                own["runs"].append(measure(*arguments))
            except TookTooLong:
                own["runs"] = []
            own["long"] |= time.monotonic() - start > LONG
            self.write()
        return [statistics.median(values) for values in zip(*own["runs"])] or None

    def write(self):
        whole = self.path.with_suffix(".new")
        whole.write_text(json.dumps(self.values, indent=1))
        whole.rename(self.path)


def checksum(name):
    # A whole file in memory here would count as memory of every process that this one starts.
    with open(name, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def machine():
    """The name of the processor, what it can do, and the number of cores."""
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    told = {line for line in lines if line.startswith(("model name", "flags", "Features"))}
    return [*sorted(told), os.cpu_count()]


def run(words, program=PROGRAM, before=()):
    """Runs the program: its output, its seconds, and the most memory that it had at any time, in GiB."""
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
            raise TookTooLong
        errors.seek(0)
        output.seek(0)
        if process.returncode:
            sys.exit(f"{words}: {errors.read()}")
        return output.read(), seconds, usage.ru_maxrss / 2**20


def exponent(points):
    """The slope of a straight line through the logarithms of pairs."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    if len(logs) < 2:
        return math.nan
    mean_x, mean_y = (sum(values) / len(logs) for values in zip(*logs))
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)


def steps(folder):
    """The seconds of a training step, without those before the second line of metrics."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    # The first steps prepare what the others reuse. A line tells the seconds before its step.
    second, last = lines[1], lines[-1]
    return (last["seconds"] - second["seconds"]) / (last["step"] - second["step"])


def afresh(name):
    """A folder of that name with nothing in it: a finished run would have nothing left to do."""
    folder = SCRATCH / name
    shutil.rmtree(folder, ignore_errors=True)
    return folder


# The numbers of pairs of data, and of samples drawn.
DATA, DRAWN = 128, 64


def generated(grid):
    out = SCRATCH / "data.npz"
    out.unlink(missing_ok=True)
    _, seconds, memory = run(["generate", "darcy", "--grid", grid, "--count", DATA, "--out", out])
    return seconds, memory


def trained(grid, batch, threads):
    folder = afresh("train")
    settings = ["--grid", grid, "--count", 16, "--set", f"train.batch={batch}", "--set", "train.log_every=1"]
    words = ["train", "configs/darcy-64.toml", *settings, "--threads", threads]
    _, _, memory = run([*words, "--until", 6, "--out", folder])
    return steps(folder), memory


def teacher(grid):
    """A teacher of one step, whose quality is of no account for times."""
    folder = SCRATCH / f"teacher-{grid}"
    settings = ["--grid", grid, "--count", 16, "--set", "train.batch=1", "--steps", 1]
    run(["train", "configs/darcy-64.toml", *settings, "--out", folder])
    return folder


def student(pde, grid):
    """The bundled student; beyond 128 x 128 that of 128 x 128 refined, after one step of negligible size."""
    if grid <= 128:
        return f"{pde}-{grid}"
    name = SCRATCH / f"{pde}-{grid}"
    config = name.with_suffix(".toml")
    config.write_text(f"""pde = "{pde}"
grid = {grid}
data = {{ count = 16, validation = 8 }}
[distill]
teacher = "models/{pde}-128-student.safetensors"
batch = 1
[[distill.phase]]
kind = "anchored"
steps = 1
warmup = 1
optimizer.learning_rate = 1e-9
""")
    run(["distill", config, "--out", name])
    return name / "model.safetensors"


def distilling(grid, batch, *more):
    """The words of the first six matching steps of a student, with guidance."""
    phases = ["warm-start", "calibrate", "anchored", "operator"]
    settings = ["--grid", grid, *(word for phase in phases for word in ("--unset", f"distill.{phase}"))]
    sizes = {"data.validation": 8, "distill.batch": batch, "distill.log_every": 1, "distill.evaluate_every": 0}
    # Guidance from the first step on, as in the middle of a training.
    sizes |= {"distill.matching.guidance.start": 0, "distill.matching.guidance.ramp": 1}
    settings += [word for key, value in sizes.items() for word in ("--set", f"{key}={value}")]
    words = ["distill", "configs/darcy-64.toml", "--teacher", teacher(grid), *settings]
    return [*words, *more, "--until", 6, "--out", afresh("distil")]


def distilled(grid, batch):
    words = distilling(grid, batch)
    _, _, memory = run(words)
    return steps(words[-1]), memory


def sampled(grid):
    """Samples of one call of a network of the bundled students' size, here the teacher's own network."""
    words = ["sample", teacher(grid), "--calls", 2, "--sampler", "euler", "--count", DRAWN]
    told, _, memory = run([*words, "--out", SCRATCH / "drawn.npz", "--json"])
    return DRAWN * json.loads(told)["seconds_per_sample"] / 2, memory


def solved(pde, grid, points, ensemble):
    model = student(pde, grid)
    observations = SCRATCH / "observations.csv"
    run(["solve", model, "--task", "inverse", "--make-obs", observations, "--points", points, "--noise", 0.01])
    words = ["solve", model, "--task", "inverse", "--obs", observations, "--ensemble", ensemble, "--json"]
    told, _, memory = run(words)
    told = json.loads(told)
    return told["seconds"], memory, told["prepare_seconds"]


def training(name, batch, until):
    """The words of a training of one thread a process."""
    settings = ["--count", 64, "--until", until, "--threads", 1, "--set", f"train.batch={batch}"]
    return ["train", "configs/darcy-64.toml", *settings, "--set", "train.log_every=5", "--out", afresh(name)]


def shared_by(count, words):
    """A step by so many processes, or without MPI if 0, and the memory of the largest of them."""
    engine = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", str(count)]
    _, _, memory = run(words, MPI if count else PROGRAM, engine if count else [])
    return steps(words[-1]), memory


def teachers(count):
    return shared_by(count, training("processes", 32, 50))


def students(count):
    return shared_by(count, distilling(64, 8, "--threads", 1))


def apart(batch, until):
    """A step by either of two trainings that know nothing of each other, and the larger's memory."""
    one, other = training("one", batch, until), training("other", batch, until)
    beside = subprocess.Popen([PROGRAM, *map(str, other)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _, _, memory = run(one)
        if beside.wait():
            sys.exit("a training beside another failed")
    finally:
        beside.kill()
    return (steps(one[-1]) + steps(other[-1])) / 2, memory


def exchange():
    """The seconds that two processes lose by their sums: with one sample each, where a step is short."""
    together, _ = shared_by(2, training("processes", 2, 200))
    return (together - apart(1, 200)[0],)


def weights():
    """The number of weights of the teacher's network."""
    info = run(["model", "info", teacher(64), "--json"])[0]
    return (json.loads(info)["parameters"],)


RANKS = [1, 2, 4, 8, 16, 32, 64, 128, 256]
# The latency in seconds and the bandwidth in bytes a second of published ping-pongs between two machines.
NETWORKS = {
    # NetPIPE over Open MPI, without a switch: blogs.cisco.com/performance/mpi-over-40gb-ethernet
    "40 Gbit/s Ethernet, usNIC": (1.93e-6, 37.23e9 / 8),
    # Open-MX's own test, through a switch: www.nw-grid.ac.uk/LivMPI
    "1 Gbit/s Ethernet, Open-MX": (23.6e-6, 118.2e6),
}


def line(points):
    """The height at zero, at least 0, and the slope of the straight line of least relative error."""
    shares = [1 / y**2 for _, y in points]
    mean_x, mean_y = (sum(w * v for w, v in zip(shares, values)) / sum(shares) for values in zip(*points))
    slope = sum(w * (x - mean_x) * (y - mean_y) for w, (x, y) in zip(shares, points))
    slope /= sum(w * (x - mean_x) ** 2 for w, (x, _) in zip(shares, points))
    return max(0.0, mean_y - slope * mean_x), slope


class Cluster:
    """A model of machines that each run one process of one thread.

    A step is that of one thread for its slice of the batch, and three sums by recursive doubling: of all
    gradients, whole in each round, of the loss, and of whether a process is to stop. A round costs the
    transfer, and what it costs two processes on one machine: additions, copies, waiting for each other.
    """

    def __init__(self, alone, exchanged, weights_):
        self.fixed, self.slope = line(alone)
        self.exchange, self.bytes = max(0.0, exchanged), 4 * weights_

    def speeds(self, batch, network):
        """The numbers of processes, and how many times as fast as one they do a step of `batch` samples."""
        latency, bandwidth = NETWORKS[network]
        round_ = self.exchange + 3 * latency + self.bytes / bandwidth
        ranks = [r for r in RANKS if r <= batch]
        times = [self.fixed + batch / r * self.slope + math.log2(r) * round_ for r in ranks]
        return ranks, [times[0] / time for time in times]

    def table(self, batch):
        lines = [f"| processes | {' | '.join(map(str, RANKS))} |", "|---" * (len(RANKS) + 1) + "|"]
        for network in NETWORKS:
            cells = " | ".join(map(figure, self.speeds(batch, network)[1]))
            lines.append(f"| {network}: times as fast | {cells} |")
        step = f"A step by one thread takes {figure(1e3 * self.fixed)} ms, plus {figure(1e3 * self.slope)} ms a sample."
        sums = f"Gradients are summed in log2(processes) rounds: {figure(1e3 * self.exchange)} ms each, "
        sums += f"plus the transfer of {figure(self.bytes / 1e6)} MB."
        about = f"Steps of {batch} samples. {step} {sums}"
        picture = "![The model's curves, and the measured points](cluster.svg)"
        return f"**A cluster, on paper: not measured.** {about}\n\n" + "\n".join(lines) + f"\n\n{picture}\n"


def plot(cluster, measured):
    """Draws the model's curves, and the measured `(processes, times as fast)` of steps of 32 samples."""
    # Here, since what it takes in memory would count as memory of every process that is started.
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    # Text as text, and no date and random names: the same figures make the same file.
    pyplot.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "scaling"})
    figure_, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for network, color in zip(NETWORKS, ["tab:blue", "tab:orange"]):
        for batch, style in [(256, "-"), (32, "--")]:
            label = f"model: {network}, {batch} samples"
            axes.plot(*cluster.speeds(batch, network), style, color=color, label=label)
    axes.plot(RANKS, RANKS, ":", color="gray", label="in proportion")
    axes.plot(*zip(*measured), "o", color="black", label="measured: one machine of two cores, 32 samples")
    axes.set(xscale="log", yscale="log", xlabel="processes of one thread", ylabel="times as fast as one")
    axes.set_xticks(RANKS, RANKS)
    axes.set_yticks(RANKS, RANKS)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure_.savefig(HERE / "cluster.svg", metadata={"Date": None})


def figure(value):
    return f"{value:.3g}"


# What a measurement returns, in this order.
UNITS = ["s", "GiB", "s to prepare"]


def table(name, axis, results, units=UNITS[:2]):
    """A table of one axis: the values by size of each series, a mapping, and their exponents."""
    sizes = sorted({size for series in results.values() for size in series})
    lines = [f"| {axis} | {' | '.join(map(str, sizes))} | exponent | of the last two |", "|---" * (len(sizes) + 3) + "|"]
    for what, series in results.items():
        for place, unit in enumerate(units):
            found = [(size, result[place]) for size, result in sorted(series.items()) if result]
            told = {size: figure(value) for size, value in found}
            told |= {size: "over an hour" for size, result in series.items() if not result}
            cells = [told.get(size, "-") for size in sizes]
            # No minus before a slope of 0.00.
            slopes = [f"{round(exponent(points), 2) + 0.0:.2f}" for points in (found, found[-2:])]
            lines.append(f"| {what}, {unit} | {' | '.join(cells + slopes)} |")
    return f"**{name}**\n\n" + "\n".join(lines) + "\n"


def shared(kept):
    """The table of trainings by several processes, and how many times as fast as one they are."""
    counts = [0, 1, 2, 4]
    rows = {
        "teacher, a step of 32": [*(kept(teachers, count) for count in counts), kept(apart, 16, 50)],
        "student, a matching step of 8": [kept(students, count) for count in counts],
    }
    names = ["without MPI", 1, 2, 4, "two trainings of half the batch"]
    lines = [f"| processes | {' | '.join(map(str, names))} |", "|---" * (len(names) + 1) + "|"]
    for what, found in rows.items():
        seconds, memory = zip(*found)
        speeds = [seconds[1] / value for value in seconds]
        for unit, values in [("s", seconds), ("times as fast as one", speeds), ("GiB of the largest", memory)]:
            cells = [figure(value) for value in values] + ["-"] * (len(names) - len(values))
            lines.append(f"| {what}, {unit} | {' | '.join(cells)} |")
    title = "**Processes of one thread, Darcy on 64 x 64**"
    seconds = [result[0] for result in rows["teacher, a step of 32"][1:4]]
    return f"{title}\n\n" + "\n".join(lines) + "\n", [(n, seconds[0] / t) for n, t in zip(counts[1:], seconds)]


def tables(kept):
    """All tables, the model of a cluster, and the measured `(processes, times as fast)`."""
    by_grid = lambda measure, *more: {grid: kept(measure, grid, *more) for grid in GRIDS}
    results = {
        f"{DATA} pairs of data": by_grid(generated),
        "teacher, a step of 4": by_grid(trained, 4, 2),
        "student, a matching step of 4": by_grid(distilled, 4),
        f"{DRAWN} samples of one call": by_grid(sampled),
    }
    parts = [table("Points a side, Darcy", "points", results)]

    answer = lambda pde, grid, count, members=16: kept(solved, pde, grid, count, members)
    results = {
        "poisson": {grid: answer("poisson", grid, 100) for grid in GRIDS},
        # Its operator would have to be trained for the finer grids.
        "darcy": {grid: answer("darcy", grid, 100) for grid in GRIDS[:3]},
    }
    parts.append(table("Points a side, an answer of 16 members from 100 observations", "points", results, UNITS))

    counts = [10, 100, 1000, 10_000]
    results = {f"{pde} on 128 x 128": {n: answer(pde, 128, n) for n in counts} for pde in ["poisson", "navier-stokes"]}
    results["poisson on 512 x 512"] = {n: answer("poisson", 512, n) for n in counts[1:]}
    parts.append(table("Observations, an answer of 16 members", "observations", results))

    members = [4, 16, 64, 256]
    results = {pde: {n: answer(pde, 64, 100, n) for n in members} for pde in ["darcy", "poisson"]}
    parts.append(table("Members, an answer on 64 x 64 from 100 observations", "members", results))

    batches = [1, 4, 16, 64]
    alone = {batch: kept(trained, 64, batch, 1) for batch in batches}
    results = {
        "teacher, a step": {batch: kept(trained, 64, batch, 2) for batch in batches},
        "teacher, a step by one thread": alone,
        "student, a matching step": {batch: kept(distilled, 64, batch) for batch in batches},
    }
    parts.append(table("Batch, Darcy on 64 x 64", "batch", results))

    part, measured = shared(kept)
    steps_alone = [(batch, result[0]) for batch, result in alone.items()]
    cluster = Cluster(steps_alone, kept(exchange)[0], kept(weights)[0])
    return [*parts, part, cluster.table(256)], cluster, measured


def main():
    if not importlib.util.find_spec("matplotlib"):
        sys.exit("the picture needs Matplotlib")
    SCRATCH.mkdir(parents=True, exist_ok=True)
    kept = Kept()
    for kept.passes in range(1, PASSES + 1):
        parts, cluster, measured = tables(kept)
    plot(cluster, measured)

    page = HERE / "README.md"
    before, _, rest = page.read_text().partition("<!-- tables -->")
    after = rest.partition("<!-- end of tables -->")[2]
    page.write_text(f"{before}<!-- tables -->\n\n" + "\n".join(parts) + f"\n<!-- end of tables -->{after}")


main()
