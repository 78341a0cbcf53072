"""Observations: values of fields at places of the domain, with the size of their errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from . import _native
from ._arrays import column, real
from ._errors import ObservationError, ShapeError

#: Names of columns that are no field.
PLACES = ("y", "x", "row", "column", "sd", "field", "value")

#: Whatever observations are made of beside :class:`Observations`.
Table: TypeAlias = Mapping[str, object]


def _table(frame: Any) -> dict[str, Any]:
    """Returns the columns of a mapping or of a frame of pandas, polars or pyarrow."""
    if isinstance(frame, Mapping):
        return {str(name): frame[name] for name in frame}
    if hasattr(frame, "column_names"):
        return {str(name): np.asarray(frame[name]) for name in frame.column_names}
    if hasattr(frame, "columns"):
        return {str(name): np.asarray(frame[name]) for name in frame.columns}
    kind = type(frame).__name__
    raise ObservationError(f"observations: a {kind} found, a mapping or a frame expected")


class Observations:
    """Values of fields at places of the domain.

    - ``Observations(u=values, y=y, x=x, sd=1e-4)``: values at coordinates of the domain.
    - ``Observations(u=values, row=rows, column=columns)``: values at points of the model's grid.
    - ``Observations(u=field)``: a whole field ``[y, x]`` on the model's grid, NaN where nothing was
      observed.
    - ``Observations(table)``: a mapping, or a frame of pandas, with such names; or with the columns
      ``field``, ``value`` and the place, one observation a row.

    ``sd`` is the standard deviation of the values' errors, one number or one each. Without it, or
    where it is NaN, the errors are estimated; 0 is exact. Values of NaN count as not observed.
    Observations of several fields at places of their own are added: ``Observations(u=...) +
    Observations(a=...)``.
    """

    def __init__(
        self,
        table: Any = None,
        /,
        *,
        y: object = None,
        x: object = None,
        row: object = None,
        column: object = None,
        sd: object = None,
        **fields: object,
    ) -> None:
        given: dict[str, Any] = _table(table) if table is not None else {}
        own = {"y": y, "x": x, "row": row, "column": column, "sd": sd, **fields}
        for name, values in own.items():
            if values is not None:
                if name in given:
                    raise ObservationError(f"observations: `{name}` is given twice")
                given[name] = values
        self._parts: list[_Part] = []
        if "field" in given:
            self._long(given)
        else:
            self._wide(given)

    def _wide(self, given: dict[str, Any]) -> None:
        fields = {name: values for name, values in given.items() if name not in PLACES}
        if not fields:
            raise ObservationError("observations: no field is given, for example u=values")
        place = _place(given)
        for name, values in fields.items():
            array = real(name, values, np.float64)
            if place is None:
                if array.ndim != 2:
                    found = list(array.shape)
                    raise ShapeError(
                        f"observations: `{name}`: shape {found} found without places; give y and x, "
                        f"row and column, or a whole field [y, x]"
                    )
                rows, columns = np.indices(array.shape, dtype=np.float64)
                part = _Part(name, array, rows, columns, given.get("sd"), True, array.shape)
            else:
                part = _Part(name, array, *place[:2], given.get("sd"), place[2], None)
            self._parts.append(part)

    def _long(self, given: dict[str, Any]) -> None:
        if "value" not in given:
            raise ObservationError("observations: a column `field` needs a column `value` beside it")
        place = _place(given)
        if place is None:
            raise ObservationError("observations: no places: give y and x, or row and column")
        names = [str(name) for name in np.asarray(given["field"]).ravel()]
        values = column(given["value"], len(names), "value")
        lines = [column(place[i], len(names), _names(place[2])[i]) for i in (0, 1)]
        sd = column(given["sd"], len(names), "sd") if given.get("sd") is not None else None
        for which, line in zip(("value", *_names(place[2])), (values, *lines)):
            _same(which, len(line), len(names), "field")
        for name in dict.fromkeys(names):
            of = np.array([own == name for own in names])
            own_sd = sd[of] if sd is not None else None
            self._parts.append(
                _Part(name, values[of], lines[0][of], lines[1][of], own_sd, place[2], None)
            )

    def __add__(self, other: Observations) -> Observations:
        """Returns the observations of both."""
        both = Observations.__new__(Observations)
        both._parts = [*self._parts, *other._parts]
        return both

    def __len__(self) -> int:
        """The number of values, those that are NaN left out."""
        return sum(len(part.seen["value"]) for part in self._parts)

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(p.seen['value'])} of {p.seen['field']}" for p in self._parts)
        return f"<Observations: {counts}>"

    def _seen(self, shape: Sequence[int]) -> list[_native._Seen]:
        """Returns the parts for a model on a grid."""
        for part in self._parts:
            if part.whole is not None and tuple(part.whole) != tuple(shape):
                found, expected = list(part.whole), list(shape)
                name = part.seen["field"]
                raise ShapeError(f"observations: `{name}`: {found} found, {expected} expected")
        return [part.seen for part in self._parts]


def _names(on_grid: bool) -> tuple[str, str]:
    return ("row", "column") if on_grid else ("y", "x")


def _place(given: Mapping[str, object]) -> tuple[Any, Any, bool] | None:
    """Returns the places along y and x, and whether they are points of a grid."""
    found = [pair for pair in (("y", "x"), ("row", "column")) if set(pair) & set(given)]
    if not found:
        return None
    if len(found) == 2 or not set(found[0]) <= set(given):
        names = ", ".join(name for name in ("y", "x", "row", "column") if name in given)
        raise ObservationError(f"observations: {names} found; y and x, or row and column, expected")
    first, second = found[0]
    return given[first], given[second], first == "row"


def _same(name: str, found: int, expected: int, beside: str) -> None:
    if found != expected:
        raise ShapeError(f"observations: `{name}` has {found} values, `{beside}` {expected}")


class _Part:
    """The observations of one field."""

    def __init__(
        self,
        name: str,
        values: Any,
        y: Any,
        x: Any,
        sd: Any,
        on_grid: bool,
        whole: Sequence[int] | None,
    ) -> None:
        value = column(values, None, name)
        lines = [column(at, len(value), own) for at, own in zip((y, x), _names(on_grid))]
        error = column(np.nan if sd is None else sd, len(value), "sd")
        for which, line in zip((*_names(on_grid), "sd"), (*lines, error)):
            _same(which, len(line), len(value), name)
        kept = ~np.isnan(value)
        self.whole = whole
        self.seen: _native._Seen = {
            "field": name,
            "value": value[kept],
            "y": lines[0][kept],
            "x": lines[1][kept],
            "sd": error[kept],
            "on_grid": on_grid,
        }
