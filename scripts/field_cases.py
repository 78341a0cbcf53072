"""Inputs that went wrong once: runs the `cmd` of every case folder and checks what it answers.

Called by scripts/field-cases. A case is right if its check in field_checks.py finds nothing wrong;
one without a check is run and called unchecked. Every case runs in a copy of its folder, beside
links to the repository's configs and models. A wrapper of the program, first on PATH, keeps the exit
code, the words and the arrays of every call.
"""

import ast
import json
import math
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import zipfile
from functools import cached_property
from pathlib import Path

from field_checks import CHECKS, PROSE, Skipped

SECONDS = 1800  # The longest that one case may take.

WRAPPER = """#!/usr/bin/env bash
call=$CALLS/$(printf %03d "$(ls "$CALLS" | wc -l)")
mkdir "$call"
words=("$@")
[[ " $* " == *" --json "* ]] || words+=(--json)
[[ $1 == solve && " $* " == *" --obs "* ]] && words+=(--out "$call/out.npz")
"$PROGRAM" "${words[@]}" >"$call/stdout" 2>"$call/stderr"
code=$?
cat "$call/stdout"
cat "$call/stderr" >&2
echo "$code" >"$call/code"
out=
while (($#)); do [[ $1 == --out ]] && out=$2; shift; done
[[ $code == 0 && ! -e $call/out.npz && -f $out ]] && cp "$out" "$call/out.npz"
exit "$code"
"""


class Array:
    """Numbers of an .npz file, by their indices."""

    def __init__(self, file):
        assert file.read(6) == b"\x93NUMPY"
        major, _ = file.read(2)
        length = struct.unpack("<H", file.read(2)) if major == 1 else struct.unpack("<I", file.read(4))
        head = ast.literal_eval(file.read(length[0]).decode("latin-1"))
        self.shape = head["shape"]
        kind = {"<f4": "f", "<f8": "d", "<i8": "q", "<i4": "i", "|u1": "B"}[head["descr"]]
        self.values = struct.unpack(f"<{math.prod(self.shape)}{kind}", file.read())

    def __getitem__(self, indices):
        flat = 0
        for index, length in zip(indices, self.shape, strict=True):
            flat = flat * length + index
        return self.values[flat]

    def lines(self):
        """The rows of all fields, one after another."""
        width = self.shape[-1]
        return [self.values[i : i + width] for i in range(0, len(self.values), width)]

    def mean(self):
        return sum(self.values) / len(self.values)

    def rms(self):
        return math.sqrt(sum(v * v for v in self.values) / len(self.values))


def read_npz(path):
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
        return {name[:-4]: Array(archive.open(name)) for name in names}


class Call:
    """One call of the program: its exit code, what it said, and the arrays that it wrote."""

    def __init__(self, folder):
        text = lambda name: (folder / name).read_text(errors="replace") if (folder / name).exists() else ""
        self.code = int(text("code") or -1)
        self.out, self.err = text("stdout"), text("stderr")
        self.written = folder / "out.npz"
        try:
            self.data = json.loads(self.out)
        except ValueError:
            self.data = {}

    @cached_property
    def arrays(self):
        return read_npz(self.written) if self.written.exists() else {}

    def told(self, *words):
        """Tells whether the call was refused or warned, in one of the words (patterns)."""
        warnings = json.dumps(self.data.get("warnings") or "") if isinstance(self.data, dict) else ""
        text = self.err + warnings
        spoken = self.code in (1, 2) or len(warnings) > 2 or re.search("warning", text, re.I)
        return bool(spoken) and (not words or any(re.search(w, text, re.I) for w in words))

    def refused(self, *words):
        return self.code == 2 and self.told(*words)

    def count(self):
        """How many observations were used."""
        return next((self.data[key] for key in ("points", "observations") if key in self.data), None)

    def at(self, name, *indices):
        """One number of an array, or nothing where there is no such array."""
        return self.arrays[name][indices] if name in self.arrays else None

    def largest(self, name):
        return max(self.arrays[name].values) if name in self.arrays else None

    def score(self, name):
        return (self.data.get("score") or {}).get(name)

    def message(self):
        lines = [line.strip() for line in self.err.splitlines()]
        telling = [line for line in lines if re.match("(error|warning|thread)", line, re.I)]
        return next(iter(telling), "")


class Case:
    """A case in a scratch folder, and the calls made there."""

    def __init__(self, source, scratch, root, program):
        self.source, self.name, self.folder = source, source.name, scratch / source.name
        self.calls_folder, programs = scratch / f"{self.name}.calls", scratch / "programs"
        shutil.copytree(source, self.folder, copy_function=shutil.copyfile)
        self.folder.chmod(0o755)
        self.calls_folder.mkdir()
        for name in ("configs", "models"):
            (self.folder / name).symlink_to(root / name)
        if not programs.exists():
            programs.mkdir()
            (programs / "phys-instruct").write_text(WRAPPER)
            (programs / "phys-instruct").chmod(0o755)
        path = f"{programs}:{os.environ['PATH']}"
        self.environment = os.environ | {"PATH": path, "CALLS": str(self.calls_folder), "PROGRAM": str(program)}

    def shell(self, words):
        """Runs shell words to their end; returns the calls made by them."""
        before = len(self.calls())
        process = self.start(words)
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        return self.calls()[before:]

    def start(self, words):
        silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(
            ["bash", "-c", words], cwd=self.folder, env=self.environment, start_new_session=True, **silent
        )

    def calls(self):
        return [Call(folder) for folder in sorted(self.calls_folder.iterdir())]

    def arrays(self, file):
        return read_npz(self.folder / file)

    def simulated(self, pde, file):
        """The reference solver's fields for the input in a file."""
        return self.shell(f"phys-instruct simulate {pde} --input {file} --out simulated.npz")[0].arrays


def run(case):
    """The verdict on a case, and the exit codes and first messages of its calls."""
    check = CHECKS.get(case.name)
    words = (case.source / "cmd").read_text()
    if check is None and subprocess.run(["bash", "-nc", words], capture_output=True).returncode:
        return "unchecked", "its cmd is no shell text"
    calls = [] if check in PROSE else case.shell(words)
    try:
        problems = [found for found in check(case, calls) if isinstance(found, str)] if check else []
    except Skipped as reason:
        return "skipped", str(reason)
    except Exception as error:  # An answer of a form that the check does not expect.
        problems = [f"cannot be checked: {error!r}"]
    calls = case.calls()
    problems += [f"panicked: {call.message()}" for call in calls if call.code == 101]
    if check and not calls:
        problems.append("the program was never called")
    codes = ",".join(str(call.code) for call in calls)
    # A message that a problem names need not be told again.
    messages = [m for m in (call.message() for call in calls) if m and m not in " ".join(problems)]
    verdict = "WRONG" if problems else "right" if check else "unchecked"
    return verdict, " | ".join([f"exit {codes}", *problems, *messages[:1]])


def main(root, program, folder, *names):
    wrong_ones = 0
    with tempfile.TemporaryDirectory() as scratch:
        for source in sorted(path.parent for path in Path(folder).glob("*/cmd")):
            if names and not any(source.name.startswith(name) for name in names):
                continue
            verdict, about = run(Case(source, Path(scratch), Path(root), program))
            wrong_ones += verdict == "WRONG"
            print(f"{source.name:34} {verdict:9} {about}", flush=True)
    return int(wrong_ones > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
