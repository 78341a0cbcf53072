"""Times the making of data, and writes the table of costs beside the answers' times of a run.

Usage: experiments/cost/measure.py RUN      (the folder of a `bench conditional`; `experiments/cost/run` makes it)
"""
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from table import rows_of, write

PROGRAM = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release/phys-instruct"
HEAD = "| | data, min | teacher, min | student, min | an answer, s (error) | the classical one, s (error) | paid after |"
PDES = ["poisson", "helmholtz", "darcy", "navier-stokes", "burgers"]
#: The classical answer of a linear equation, and of the others.
CLASSICAL = ["exact-posterior", "most-probable"]
#: The pairs that a model learns from, and those whose making is timed.
PAIRS, TIMED = 21_000, 210


def printed(*words):
    """The standard output of the program."""
    return subprocess.run([PROGRAM, *words], check=True, capture_output=True, text=True).stdout


def data_seconds(pde):
    """The seconds for all pairs, from those for some."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        printed("generate", pde, "--grid", "64", "--count", str(TIMED), "--seed", "1", "--out", f"{folder}/data")
        return (time.monotonic() - start) * PAIRS / TIMED


def training_seconds(model):
    """The seconds of a model's training, which its file holds."""
    return json.loads(printed("model", "info", model, "--json"))["seconds"]


def paid_after(cost, own, classical):
    """The number of answers after which the student's cost is less than what its answers save."""
    return "never" if own >= classical else f"{math.ceil(cost / (classical - own)):,}"


def line(pde, rows):
    own = next(row for row in rows if row["pde"] == pde and row["method"] == "phys-instruct")
    other = next(row for row in rows if row["pde"] == pde and row["method"] in CLASSICAL)
    costs = [data_seconds(pde), *(training_seconds(f"{pde}-64{kind}") for kind in ("-teacher", ""))]
    answers = [f"{row['seconds']:.3g} ({row['error']:.3g})" for row in (own, other)]
    after = paid_after(sum(costs), own["seconds"], other["seconds"])
    return "| " + " | ".join([pde, *(f"{cost / 60:.1f}" for cost in costs), *answers, after]) + " |"


if __name__ == "__main__":
    found = rows_of(sys.argv[1:], __doc__)
    write(HERE / "README.md", HEAD, [line(pde, found) for pde in PDES])
