"""Models: students and teachers."""

from __future__ import annotations

import json
import operator
import warnings
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

import numpy as np

from . import _native
from ._arrays import stacked
from ._errors import AnswerWarning, ConfigError, RequestError
from ._fields import Fields, Grid, Samples
from ._observations import Observations
from ._posterior import Posterior
from ._progress import Progress

#: The folder of the bundled models.
FOLDER = Path(__file__).parent / "models"

Task = Literal["forward", "inverse", "reconstruct"]


def _whole(name: str, value: int, least: int) -> int:
    """Returns a whole number of at least ``least``; numbers of NumPy are welcome."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ConfigError(f"{name} = {value!r}: a whole number expected") from None
    if not least <= number < 2**63:
        most = ", less than 2^63" if number > least else ""
        raise ConfigError(f"{name} = {number}: at least {least}{most} expected")
    return number


def _number(name: str, value: float) -> float:
    """Returns a number; texts and arrays are none."""
    try:
        if not isinstance(value, (str, bytes)):
            return float(value)
    except (TypeError, ValueError):
        pass
    raise ConfigError(f"{name} = {value!r}: a number expected")


def _truth(name: str, value: bool) -> bool:
    """Returns true or false; a text is neither."""
    if not isinstance(value, (bool, np.bool_)):
        raise ConfigError(f"{name} = {value!r}: True or False expected")
    return bool(value)


def _warn(texts: list[str]) -> None:
    for text in texts:
        warnings.warn(text, AnswerWarning, stacklevel=3)


class Model:
    """A trained model. :func:`load` makes it of a file, :func:`train` and :func:`distill` of data.

    It may be used by several threads at once.
    """

    def __init__(self, native: _native.Model) -> None:
        self._native = native
        self._card = native.card
        (y, x), (ly, lx) = native.points(), native.sides
        self.grid = Grid(np.array(y), np.array(x), (ly, lx))
        """The points along y and x, and the sides of the domain."""
        card = self.card
        self.pde: str = card["pde"]
        """The PDE's name."""
        self.kind: str = card["kind"]
        """``"student"`` or ``"teacher"``."""
        self.channels: list[str] = card["channels"]
        """The names of the fields."""

    @property
    def card(self) -> dict[str, Any]:
        """The description in the model's file: PDE, parameters, grid, network, training."""
        card: dict[str, Any] = json.loads(self._card)
        return card

    @property
    def path(self) -> Path | None:
        """The model's file."""
        return self._native.path

    @property
    def warnings(self) -> list[str]:
        """The known faults of the model."""
        return self._native.warnings

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the model: ``.safetensors``."""
        self._native.save(fspath(path))

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        """Pickles a model as its file, which has to be there, and the same, where it is read again."""
        if self.path is None:
            raise RequestError("a model without a file cannot be pickled: save and load it first")
        return _again, (fspath(Path(self.path).absolute()), self._native.checksum)

    def __repr__(self) -> str:
        return f"<{self.kind} of {self.pde} on {len(self.grid.y)} x {len(self.grid.x)}>"

    def sample(
        self,
        count: int = 64,
        *,
        calls: int | None = None,
        polish: int = 0,
        seed: int = 0,
        sampler: Literal["heun", "euler"] = "heun",
        joint: bool = False,
        progress: bool | None = None,
    ) -> Samples:
        """Draws samples; sample i depends on the seed and i alone.

        ``calls`` is the number of network calls per sample, by default 1 for a student and 35 for a
        teacher. ``polish`` is the number of sweeps that bring each solution onto the equation.
        ``sampler`` is the solver of a teacher's sampling. ``joint`` takes the solution from the
        generator's own pass, although the student has an operator for it. ``progress`` shows a bar,
        by default on terminals and in notebooks, once a second has passed.
        """
        with Progress(progress) as bar:
            array, drawn = self._native.sample(
                _whole("count", count, 1),
                None if calls is None else _whole("calls", calls, 1),
                sampler,
                _whole("seed", seed, 0),
                _whole("polish", polish, 0),
                joint,
                bar.callback,
            )
        return Samples(self.pde, self.channels, array, drawn, self.grid)

    def solve(
        self,
        observations: Observations | str | PathLike[str] | Any,
        task: Task,
        *,
        ensemble: int = 16,
        seed: int = 0,
        noise: float | None = None,
        robust: bool = False,
        resolve: bool | None = None,
        method: Literal["refinement", "linearised", "input-space", "noise-space"] | None = None,
        rounds: int | None = None,
        check: int | None = None,
        held_out: Mapping[str, object] | None = None,
        progress: bool | None = None,
    ) -> Posterior:
        """Answers observations with an ensemble of fields that agree with them.

        ``observations`` are :class:`Observations`, what they are made of, or a file of the command
        line. ``task`` is ``"forward"`` (the input is observed, the solution asked for),
        ``"inverse"`` (the other way round) or ``"reconstruct"`` (anything observed, everything asked
        for). ``noise`` is the size of errors without an ``sd``, in standard deviations of their
        field; by default it is estimated. ``robust`` lets some errors be far larger than stated.
        ``resolve`` replaces every member's solution by the reference solver's, by default in the
        forward task. ``method`` and ``rounds`` are the way to the answer and its effort.

        ``check`` also answers so many test problems, seen at the same places with the same errors,
        of which the truth is known: :attr:`Posterior.checked` has their error and coverage. Their
        fields are the first of ``held_out``, ``[sample, y, x]`` each by name, or else the reference
        solver's.

        What does not fit is a warning (:class:`AnswerWarning`), and stands in
        :attr:`Posterior.warnings`.
        """
        file, seen = None, []
        if isinstance(observations, (str, PathLike)):
            file = fspath(observations)
        elif isinstance(observations, Observations):
            seen = observations._seen(self._native.shape)
        else:
            seen = Observations(observations)._seen(self._native.shape)

        for name, word in (("task", task), ("method", "" if method is None else method)):
            if not isinstance(word, str):
                raise ConfigError(f"{name} = {word!r}: a word expected")
        way: _native._Way = {
            "task": task,
            "ensemble": _whole("ensemble", ensemble, 2),
            "seed": _whole("seed", seed, 0),
            "method": method,
            "rounds": None if rounds is None else _whole("rounds", rounds, 1),
            "noise": None if noise is None else _number("noise", noise),
            "robust": _truth("robust", robust),
            "resolve": None if resolve is None else _truth("resolve", resolve),
            "check": None if check is None else _whole("check", check, 1),
        }
        if held_out is not None and check is None:
            raise ConfigError("held_out: only test problems are drawn from it; give check, too")
        if isinstance(held_out, Fields) and held_out.pde != self.pde:
            raise ConfigError(f"held_out: samples of {held_out.pde}, the model is of {self.pde}")
        truths = None if held_out is None else stacked(self.channels, dict(held_out), np.float32)[0]
        with Progress(progress) as bar:
            answer, notes = self._native.solve(file, seen, way, truths, bar.callback)
        posterior = Posterior(self.pde, answer, self.grid, notes)
        _warn(posterior.warnings)
        return posterior

    def prepare(self, *, progress: bool | None = None) -> None:
        """Draws what every question needs and what depends on the model alone, or reads it from the
        user's cache folder. The first question does so by itself."""
        with Progress(progress) as bar:
            self._native.prepare(bar.callback)


def load(name: str | PathLike[str]) -> Model:
    """Loads a model: a bundled one (``"darcy-64"``, or ``"darcy"``), a file, or a run folder.

    ``PHYS_INSTRUCT_MODELS`` names a folder to search in place of the package's own.
    """
    model = Model(_native.Model.load(fspath(name), FOLDER))
    _warn(model.warnings)
    return model


def _again(path: str, checksum: str) -> Model:
    """Returns the model of a file that was pickled with this checksum."""
    model = Model(_native.Model.load(path, FOLDER))
    if model._native.checksum != checksum:
        raise RequestError(f"{path}: another model than the one that was pickled")
    return model


def bundled() -> list[str]:
    """Returns the names of the models that came with the package."""
    return [path.stem.removesuffix("-student") for path in _native.bundled(FOLDER)]
