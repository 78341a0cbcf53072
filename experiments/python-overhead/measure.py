"""Measures what a call from Python costs above the library's own time, and writes the table of the page.

The library times its own sampling, `Samples.seconds_per_sample`. The rest of a call is Python's.
"""

import pathlib
import statistics
import sys
import time

import phys_instruct as pi

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from table import write

HEAD = "| | | a call, ms | the library's own, ms | above it, ms |"
PDES = {"poisson": "Poisson", "helmholtz": "Helmholtz", "darcy": "Darcy", "navier-stokes": "Navier-Stokes",
        "burgers": "Burgers"}
#: Samples a call, and the calls of which the median is taken.
COUNTS = {1: 200, 64: 20}
#: Calls before those that count.
WARM = 10


def median_of(student, count, calls):
    """The median milliseconds of a call, of the library's own part, and of the difference."""
    times = []
    for i in range(calls + WARM):
        begin = time.perf_counter()
        samples = student.sample(count, seed=i, progress=False)
        whole = time.perf_counter() - begin
        own = count * samples.seconds_per_sample
        times.append([1e3 * whole, 1e3 * own, 1e3 * (whole - own)])
    return [statistics.median(column) for column in zip(*times[WARM:])]


def lines():
    for name, shown in PDES.items():
        student = pi.load(f"{name}-64")
        for i, (count, calls) in enumerate(COUNTS.items()):
            whole, own, above = median_of(student, count, calls)
            yield f"| {shown if i == 0 else ''} | {count} sample{'s' if count > 1 else ''} | {whole:.2f} | {own:.2f} | {above:.3f} |"


if __name__ == "__main__":
    write(HERE / "README.md", HEAD, lines())
