"""Answers: an ensemble of fields, how well it explains what was observed, and what does not fit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _native
from ._arrays import stacked
from ._errors import CheckError, ShapeError
from ._fields import Array, Fields, Grid, dataset, draw, missing

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure


class Posterior(Fields):
    """The answer to a question: members, mean, spread, warnings.

    ``post["a"]`` are the members of a field, ``[member, y, x]``, which cannot be written to;
    ``post.mean["a"]`` and ``post.sd["a"]`` are ``[y, x]``.
    """

    def __init__(self, pde: str, answer: _native.Answer, grid: Grid, notes: Sequence[str]) -> None:
        members = answer.members()
        # Mean, deviation and files are those of the members as they were found.
        members.flags.writeable = False
        super().__init__(pde, answer.channels, members, grid)
        self._answer = answer
        self.task: str = answer.task
        """The task."""
        self.notes: list[str] = [*notes, *answer.notes]
        """What was assumed, in sentences."""
        self.warnings: list[str] = [w["message"] for w in json.loads(answer.warnings)]
        """What does not fit the model, the observations or the equation, in sentences."""

    @cached_property
    def mean(self) -> Fields:
        """The mean over the members."""
        return Fields(self.pde, self.channels, self._answer.mean(), self.grid)

    @cached_property
    def sd(self) -> Fields:
        """The standard deviation over the members."""
        return Fields(self.pde, self.channels, self._answer.sd(), self.grid)

    @property
    def observations(self) -> NDArray[np.void]:
        """The observations beside the answer, as ``phys-instruct solve --table`` writes them.

        The columns are ``number`` and ``field``; the place ``y``, ``x``; the ``value`` and the ``sd``
        of its error that was taken, where the table adds the error of the model's own pairs; the
        ``answer`` there, its spread ``answer_sd``, and how many errors it is off, the model's among
        them, ``chi``. ``left_out`` is what the prior expects of the value from all
        others, ``left_out_sd`` the deviation of that, and ``left_out_distance`` how many of those it
        is away; they are NaN where they are not known. ``name`` is what the place is called, empty
        where no table tells it.
        """
        numbers = "y x value sd answer answer_sd chi left_out left_out_sd left_out_distance"
        names = self._answer.names()
        longest = max(1, *map(len, names))
        kinds = [("number", "i8"), ("field", "U64"), *((name, "f8") for name in numbers.split())]
        used = [(*line, name) for line, name in zip(self._answer.observations(), names)]
        return np.array(used, dtype=[*kinds, ("name", f"U{longest}")])

    @cached_property
    def checked(self) -> dict[str, Any] | None:
        """The scores of the test problems of ``solve(check=N)``: error, coverage90, crps, chi and
        others; ``None`` where they were not asked for."""
        scores: dict[str, Any] | None = json.loads(self._answer.checked())
        return scores

    def quantile(self, name: str, q: float | Sequence[float]) -> Array:
        """Returns the values below which a field lies with probability ``q``, ``[q, y, x]``, or
        ``[y, x]`` for one number."""
        channel = self._channel(name)
        shares = [float(share) for share in np.ravel(q)]
        found: Array = np.stack([self._answer.quantile(share)[channel] for share in shares])
        return found[0] if np.ndim(q) == 0 else found

    def probability_above(self, name: str, level: float) -> Array:
        """Returns the probability that a field lies above a level, a finite number, ``[y, x]``."""
        return self._answer.probability_above(self._channel(name), float(level))

    @cached_property
    def figures(self) -> dict[str, Any]:
        """The figures of ``phys-instruct solve --json``: chi, misfit, PDE errors, prior distance."""
        figures: dict[str, Any] = json.loads(self._answer.figures(None))
        return figures

    def score(self, truth: Mapping[str, object]) -> dict[str, Any]:
        """Returns the error against the true fields, one of each, the error of the mean of the model's
        data (``unobserved_error``), the coverage of the 90 % interval and the CRPS."""
        figures = json.loads(self._answer.figures(self._true(truth)))
        score: dict[str, Any] = figures["score"]
        return {**score, "unobserved_error": figures["unobserved_error"]}

    def _true(self, truth: Mapping[str, object]) -> Array:
        """Returns the true fields, ``[channel, y, x]``."""
        array, _ = stacked(self.channels, dict(truth), np.float32)
        if len(array) != 1:
            raise ShapeError(
                f"truth: {len(array)} samples found, one expected; pick one, as truth[name][0]"
            )
        true: Array = array[0]
        return true

    def check(self) -> None:
        """Raises :class:`CheckError` where the answer has warnings, as ``--strict`` does."""
        if self.warnings:
            told = "\n".join(self.warnings)
            raise CheckError(f"{len(self.warnings)} warnings:\n{told}")

    def save(
        self,
        path: str | PathLike[str],
        above: Mapping[str, float] | None = None,
        *,
        truth: Mapping[str, object] | None = None,
    ) -> None:
        """Writes the answer as ``phys-instruct solve --out`` does, by the name: the fields as
        ``.npz``, ``.csv``, ``.asc`` or ``.nc``, a picture as ``.png`` or ``.svg``, or a page of fields,
        figures and observations as ``.html``.

        ``above`` adds the probability that a field lies above a level to a file of fields. ``truth``
        are the true fields, one of each, which pictures and pages show beside the answer.
        """
        levels = [(name, float(level)) for name, level in (above or {}).items()]
        self._answer.save(path, levels, None if truth is None else self._true(truth))

    def to_xarray(self) -> xarray.Dataset:
        """Returns members ``a``, mean ``a_mean`` and standard deviation ``a_sd``. Needs xarray."""
        fields: dict[str, Array] = {}
        for name in self:
            fields[name] = self[name]
            fields[f"{name}_mean"], fields[f"{name}_sd"] = self.mean[name], self.sd[name]
        return dataset(fields, self.grid, "member")

    def to_arviz(self) -> Any:
        """Returns the members as draws of one chain, and the observed values, for ArviZ.

        It is an ``arviz.InferenceData``, and from ArviZ 1.0 on an ``xarray.DataTree``, with the
        groups ``posterior`` and ``observed_data``. The members are no chain: their order means
        nothing, so that measures of convergence such as ``r_hat`` do not apply. Needs ArviZ.
        """
        try:
            import arviz
        except ImportError:
            raise missing("arviz", "to_arviz") from None
        members = {name: self[name] for name in self}
        draws = dataset(members, self.grid, "draw").expand_dims(chain=[0])
        seen = self.observations
        given = ("field", "y", "x", "value", "sd")
        observed = type(draws)({name: ("observation", seen[name]) for name in given})
        if hasattr(arviz, "InferenceData"):
            return arviz.InferenceData(posterior=draws, observed_data=observed)
        from xarray import DataTree

        return DataTree.from_dict({"posterior": draws, "observed_data": observed})

    def plot(
        self,
        name: str | None = None,
        count: int = 1,
        *,
        truth: Mapping[str, object] | object = None,
    ) -> Figure:
        """Draws mean, ``count`` members, standard deviation, and the ``truth`` where it is given: a
        field, or fields by name. Dots are the observations. Needs matplotlib."""
        names = [name] if name is not None else list(self)
        seen = self.observations
        rows = []
        for own in names:
            row = [(f"{own}, mean", self.mean[own])]
            row += [(f"{own}, member {i}", member) for i, member in enumerate(self[own][:count])]
            known = truth[own] if isinstance(truth, Mapping) else truth
            if known is not None:
                row.insert(0, (f"{own}, truth", np.asarray(known).reshape(self.mean[own].shape)))
            rows.append([*row, (f"{own}, sd", self.sd[own])])
        return draw(rows, self.grid, (seen["y"], seen["x"]), alike=False)
