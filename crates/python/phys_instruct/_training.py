"""Data sets, and the two trainings: a teacher of data, a student of a teacher."""

from __future__ import annotations

import json
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from . import _native
from ._arrays import Sides, stacked
from ._errors import ConfigError, RequestError
from ._model import Model, Task, _warn, _whole
from ._pde import PDE, UNIT
from ._progress import Progress


class Dataset:
    """Pairs of a PDE's input and its solution, the last ``validation`` of them held out.

    ``pde`` is a :class:`PDE` or a name. The fields are given by name, ``[sample, y, x]`` each.
    """

    def __init__(
        self,
        pde: str | PDE,
        *,
        validation: int | None = None,
        sides: Sides | None = None,
        **fields: object,
    ) -> None:
        self.pde = pde if isinstance(pde, PDE) else PDE(pde)
        """The PDE."""
        self.channels = self.pde.channels
        """The names of the fields."""
        self.array = stacked(self.channels, fields, np.float32)[0]
        """All fields, ``[sample, channel, y, x]``, float32."""
        self.sides: Sides = sides or self.pde.sides or UNIT
        """The lengths of the domain along y and x: those given, or those of the PDE, or 1 and 1."""
        if not np.isfinite(self.array).all():
            sample = int(np.argwhere(~np.isfinite(self.array))[0][0])
            raise RequestError(f"the data: sample {sample} holds values that are not finite")
        count = len(self)
        self.validation = count // 10 if validation is None else _whole("validation", validation, 2)
        """The number of pairs that are held out."""
        if validation is None and not 2 <= self.validation < count:
            raise ConfigError(
                f"the data: {count} pairs, of which a tenth is held out; at least 20 expected, or "
                f"validation=N with N from 2 to {count - 1}"
            )
        if not 2 <= self.validation < count:
            raise ConfigError(f"validation = {self.validation}: 2 to {count - 1} of {count} expected")

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.array)

    def __repr__(self) -> str:
        shape = "x".join(str(n) for n in self.array.shape[2:])
        names = ", ".join(self.channels)
        return f"<Dataset of {self.pde.name}: {len(self)} pairs of {names} on {shape}>"


def _seconds(minutes: float | None) -> float:
    if minutes is None or not 0.0 < minutes < 1e6:
        raise ConfigError(f"minutes = {minutes}: a number above 0 expected")
    return 60.0 * float(minutes)


def _run(data: Dataset, minutes: float | None, seed: int, unchecked: bool) -> _native._Run:
    return {
        "sides": data.sides,
        "validation": data.validation,
        "seconds": _seconds(minutes),
        "seed": _whole("seed", seed, 0),
        "unchecked": unchecked,
    }


def train(
    data: Dataset | str | PathLike[str],
    *,
    minutes: float | None = None,
    out: str | PathLike[str] | None = None,
    seed: int = 0,
    unchecked: bool = False,
    progress: bool | None = None,
) -> Model:
    """Trains a teacher.

    Of a :class:`Dataset`, ``minutes`` are the time for it on this machine as it is: the network and
    its coordinates are chosen by the data, the number of steps by the seconds that one takes. The
    folder ``out`` then holds the data, the settled ``config.toml`` and the run ``teacher``. Of a
    config file the steps are the config's, and ``out`` is the run.

    Ctrl-C raises :class:`Interrupted` after the checkpoint was written; the same call goes on from
    it. Data that are no solutions of a known equation are refused, unless ``unchecked``.
    """
    with Progress(progress) as bar:
        if isinstance(data, Dataset):
            folder = "runs/" + data.pde.name if out is None else fspath(out)
            way = _run(data, minutes, seed, unchecked)
            model = _native.fit_teacher(data.pde._native, data.array, way, folder, bar.callback)
        else:
            if minutes is not None:
                raise ConfigError("minutes: the config names its steps")
            folder = f"runs/{Path(data).stem}-teacher" if out is None else fspath(out)
            model = _native.train(fspath(data), folder, unchecked, bar.callback)
    return Model(model)


def distill(
    teacher: Model,
    *,
    minutes: float | None = None,
    config: str | PathLike[str] | None = None,
    out: str | PathLike[str] | None = None,
    unchecked: bool = False,
    progress: bool | None = None,
) -> Model:
    """Distills a teacher into a student of few steps.

    ``minutes`` are the time for it on this machine as it is; the config is that of the teacher's own
    run. With a ``config`` file the steps are the config's. ``out`` is the run folder, by default
    ``student`` beside the teacher's. Ctrl-C is as for :func:`train`.
    """
    if teacher.path is None:
        raise RequestError("the teacher has no file: train it, or load it from one")
    folder = teacher.path.parent.parent / "student" if out is None else Path(fspath(out))
    with Progress(progress) as bar:
        if config is None:
            model = _native.fit_student(teacher._native, _seconds(minutes), folder, bar.callback)
        else:
            if minutes is not None:
                raise ConfigError("minutes: the config names its steps")
            model = _native.distill(
                fspath(config), teacher._native, folder, unchecked, bar.callback
            )
    student = Model(model)
    _warn(student.warnings)
    return student


@dataclass(frozen=True)
class Fitted:
    """A student, and whether it may be trusted."""

    student: Model
    """The student."""
    trusted: bool
    """True if nothing speaks against it, for inputs like those of the data."""
    reasons: list[str]
    """The reasons against it, in sentences."""
    figures: dict[str, Any]
    """The figures of its samples against the held-out pairs, as ``phys-instruct eval`` prints them."""
    answers: dict[str, Any]
    """Error, coverage of the 90 % interval and others of its answers to test problems."""


def fit(
    data: Dataset,
    *,
    minutes: float = 10.0,
    out: str | PathLike[str] | None = None,
    seed: int = 0,
    unchecked: bool = False,
    task: Task = "inverse",
    points: int = 50,
    noise: float = 0.01,
    progress: bool | None = None,
) -> Fitted:
    """Makes a student of data in so many minutes, and judges it, as ``phys-instruct fit`` does.

    It is :func:`train` and :func:`distill` with one time for both, and a judgement by samples and by
    answers to test problems of the held-out pairs: ``points`` values at random places are seen, with
    errors of ``noise`` standard deviations of their field. The folder ``out`` holds the data, the
    settled ``config.toml`` and the runs ``teacher`` and ``student``; where it holds them already, they
    go on, whatever ``minutes`` says. Ctrl-C is as for :func:`train`.
    """
    if not 0.0 <= noise < float("inf"):
        raise ConfigError(f"noise = {noise}: a number of at least 0 expected")
    folder = f"runs/{data.pde.name}-fit" if out is None else fspath(out)
    problems: _native._Problems = {
        "task": task,
        "points": _whole("points", points, 1),
        "noise": float(noise),
    }
    way = _run(data, minutes, seed, unchecked)
    with Progress(progress) as bar:
        model, told = _native.fit(
            data.pde._native, data.array, way, problems, folder, bar.callback
        )
    judged: dict[str, Any] = json.loads(told)
    student = Model(model)
    _warn(student.warnings)
    return Fitted(student, **judged)
