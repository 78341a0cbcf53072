"""Parts that the tables of the experiments' pages share: the rows of runs, and the place in a page."""
import json
import pathlib
import sys


def rows_of(runs, usage):
    """The rows of the runs' folders. Without a row the usage is printed."""
    rows = []
    for run in runs:
        rows += map(json.loads, (pathlib.Path(run) / "rows.jsonl").read_text().splitlines())
    return rows or sys.exit(usage)


def runs_and_times(words):
    """The runs that are named, and those after a --times before them."""
    runs, quiet = list(words), []
    while runs[:1] == ["--times"]:
        quiet += runs[1:2]
        runs = runs[2:]
    return runs, quiet


def write(page, head, lines):
    """Replaces the table of a page that has this head."""
    rule = "|" + "---|" * (head.count("|") - 1)
    before, found, rest = page.read_text().partition(head + "\n")
    if not found:
        sys.exit(f"{page.name}: no table with the head {head}")
    after = rest[rest.index("\n\n"):]
    page.write_text(before + "\n".join([head, rule, *lines]) + after)
