"""Observations: values of fields at places of the domain, with the size of their errors."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

import numpy as np

from . import _native
from ._arrays import column, real
from ._errors import ObservationError, ShapeError

#: Names of arrays that are no field.
PLACES = ("y", "x", "row", "column", "sd")

#: Names that a table alone has.
OF_TABLES = {"field", "value", "name"}

#: The types of pandas' marks for what is missing.
MISSING = ("NAType", "NaTType")


def _columns(frame: Any) -> list[tuple[str, Any]]:
    """Returns the columns of a mapping or of a frame of pandas, polars or pyarrow, with their names."""
    # Two columns of one frame of pandas may have one name.
    if isinstance(frame, Mapping) or (hasattr(frame, "columns") and hasattr(frame, "items")):
        return [(str(name), values) for name, values in frame.items()]
    for names in ("column_names", "columns"):
        if hasattr(frame, names):
            return [(str(name), np.asarray(frame[name])) for name in getattr(frame, names)]
    kind = type(frame).__name__
    raise ObservationError(f"observations: a {kind} found, a mapping or a frame expected")


def _cells(values: Any) -> list[str]:
    """Returns a column's values as text; a single value is a single cell."""
    # A masked array lists None where it is masked.
    array = values if np.ma.isMaskedArray(values) else np.asarray(values)
    if array.dtype.kind in "mM":
        array = array.astype(str)
    return [_cell(value) for value in array.ravel().tolist()]


def _cell(value: Any) -> str:
    """Returns a value as text in one line, empty where there is none."""
    if value is None or type(value).__name__ in MISSING:
        return ""
    if isinstance(value, (float, np.floating)):
        # The text is read as the same number again.
        return "" if np.isnan(value) else repr(float(value))
    return " ".join(str(value).split())


class Observations:
    """Values of fields at places of the domain.

    - ``Observations(u=values, y=y, x=x, sd=1e-4)``: values at coordinates of the domain.
    - ``Observations(u=values, row=rows, column=columns)``: values at points of the model's grid.
    - ``Observations(u=field)``: a whole field ``[y, x]`` on the model's grid, NaN where nothing was
      observed.
    - ``Observations(table)``: a mapping of columns, or a frame of pandas, polars or pyarrow. A column
      means what it does in a CSV file of the command line: ``u``, ``u_sd``, ``y``, ``x``; or
      ``field``, ``value``, ``row``, ``column``, ``sd``; and ``name``, or ``well``, for what the places
      are called. Other columns are passed over, and named in
      :attr:`Posterior.notes`. None, NaN and ``pandas.NA`` count as not observed.

    ``sd`` is the standard deviation of the values' errors, one number or one each. Without it, or
    where it is NaN, the errors are estimated; 0 is exact. Values of NaN count as not observed.
    In a mapping one number, or one text, stands for a whole column, and whole fields are taken as
    arrays by name are. Observations of several fields at places of their own are added:
    ``Observations(u=...) + Observations(a=...)``.
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
        given = _columns(table) if table is not None else []
        own = {"y": y, "x": x, "row": row, "column": column, "sd": sd, **fields}
        for name, values in own.items():
            if values is not None:
                if name in dict(given):
                    raise ObservationError(f"observations: `{name}` is given twice")
                given.append((name, values))

        self._parts: list[_Part | _Table] = []
        of_table = table is not None or not OF_TABLES.isdisjoint(dict(given))
        if given and of_table and all(np.ndim(values) < 2 for _, values in given):
            self._parts.append(_Table(given))
        else:
            self._wide(dict(given))

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

    def __add__(self, other: Observations) -> Observations:
        """Returns the observations of both."""
        both = Observations.__new__(Observations)
        both._parts = [*self._parts, *other._parts]
        return both

    def __len__(self) -> int:
        """The number of values, those that are NaN left out; of a table the number of its lines."""
        return sum(part.count for part in self._parts)

    def __repr__(self) -> str:
        return f"<Observations: {', '.join(str(part) for part in self._parts)}>"

    def _seen(self, shape: Sequence[int]) -> list[_native._Given]:
        """Returns the parts for a model on a grid."""
        return [part.on(shape) for part in self._parts]


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


class _Table:
    """A table as the text of a CSV file.

    The command line's reader understands its columns once a model is asked: it needs the names of
    the model's fields.
    """

    def __init__(self, columns: list[tuple[str, Any]]) -> None:
        long = [(name, len(values)) for name, values in columns if np.ndim(values) > 0]
        first, self.count = long[0] if long else ("", 1)
        for name, length in long:
            _same(name, length, self.count, first)
        cells = [_cells(values) * (1 if np.ndim(values) else self.count) for _, values in columns]
        self.names = [_cell(name) for name, _ in columns]

        # Quotes keep separators within a cell, and the index of a line keeps a mark of comments from
        # its start. Tabs part the cells, since the reader takes the least for granted between them.
        text = StringIO()
        writer = csv.writer(text, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(["", *self.names])
        writer.writerows(zip(range(self.count), *cells))
        self.text = text.getvalue()

    def __str__(self) -> str:
        return f"{self.count} lines of {', '.join(self.names)}"

    def on(self, shape: Sequence[int]) -> str:
        """Returns the text, which is the same for every grid."""
        return self.text


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
        # A map that is turned beside its values would have as many of them.
        for which, own in zip((*_names(on_grid), "sd"), (y, x, sd)):
            if np.ndim(own) > 1 and np.ndim(values) > 1 and np.shape(own) != np.shape(values):
                found, expected = list(np.shape(own)), list(np.shape(values))
                raise ShapeError(f"observations: `{which}` {found} found, `{name}` is {expected}")
        kept = ~np.isnan(value)
        self.count = int(kept.sum())
        self.whole = whole
        self.seen: _native._Seen = {
            "field": name,
            "value": value[kept],
            "y": lines[0][kept],
            "x": lines[1][kept],
            "sd": error[kept],
            "on_grid": on_grid,
        }

    def __str__(self) -> str:
        return f"{self.count} of {self.seen['field']}"

    def on(self, shape: Sequence[int]) -> _native._Seen:
        """Returns the values for a model on a grid; a whole field has to be on it."""
        if self.whole is not None and tuple(self.whole) != tuple(shape):
            found, expected = list(self.whole), list(shape)
            name = self.seen["field"]
            raise ShapeError(f"observations: `{name}`: {found} found, {expected} expected")
        return self.seen
