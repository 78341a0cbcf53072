"""PDEs, their reference solver and their residual."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import _native
from ._arrays import Sides, by_name, fields, real, stacked
from ._errors import ConfigError, ShapeError
from ._fields import Fields, Grid, Residual, Solutions
from ._model import _warn, _whole
from ._progress import Progress

UNIT: Sides = (1.0, 1.0)

#: The points a side that the command line takes, too.
FEWEST_POINTS, MOST_POINTS = 4, 4096


class PDE:
    """A PDE: one of :func:`pdes` by its name, or one that is known by data alone.

    - ``PDE("helmholtz", k=2.0)``: with parameters.
    - ``PDE("mine.toml")``: described in a file, as the command line reads it.
    - ``PDE(fields=["a", "u"], input="a")``: known by data alone. ``input`` names the fields of the
      input, one or several; the others are the solution.
    - ``PDE(fields=["u"], time="y")``: known by data alone, rows being times. The first row of every
      field is the input, the later rows are the solution.

    For a PDE known by data alone, ``name`` stands in files and pictures, ``sides`` are the lengths of
    the domain along y and x, and ``origin`` is the corner, y and x, where both are least: places of
    observations and of answers count from there. ``units`` and ``meanings`` are texts of the fields,
    which pictures and NetCDF files tell. ``ranges`` gives the least and the largest value a field
    may have, ``values`` the two values of an input that has no others, and ``bases`` a field's
    boundary conditions along y and x, by names as in the book's chapter on own data. Values and
    bases that are left out are chosen from the data.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        fields: Sequence[str] | None = None,
        input: str | Sequence[str] | None = None,
        time: str | None = None,
        sides: Sides | None = None,
        origin: tuple[float, float] | None = None,
        ranges: Mapping[str, tuple[float, float]] | None = None,
        values: Mapping[str, tuple[float, float]] | None = None,
        bases: Mapping[str, tuple[str, str]] | None = None,
        units: Mapping[str, str] | None = None,
        meanings: Mapping[str, str] | None = None,
        **params: float,
    ) -> None:
        if fields is None:
            described = (time, ranges, values, bases, units, meanings, sides, origin)
            if name is None or input is not None or any(described):
                raise ConfigError("PDE: a name, or fields and input or time, expected")
            self._native = _native.Pde(name, [(key, float(v)) for key, v in params.items()])
            return
        if (input is None) == (time is None) or params:
            raise ConfigError("PDE: fields and input, or fields and time, and no parameters, expected")
        own: dict[str, Mapping[str, str | tuple[Any, Any]]] = {
            "range": ranges or {}, "values": values or {}, "basis": bases or {},
            "unit": units or {}, "meaning": meanings or {},
        }
        self._native = _native.Pde.described(
            _toml(name or "mine", list(fields), input, time, {"sides": sides, "origin": origin}, own)
        )

    @property
    def name(self) -> str:
        """The name."""
        return self._native.name

    @property
    def sides(self) -> Sides | None:
        """The lengths of the domain along y and x, where the description has them."""
        sides = self._native.sides
        return None if sides is None else (sides[0], sides[1])

    @property
    def equation(self) -> str:
        """The equation in one line."""
        return self._native.equation

    @property
    def channels(self) -> list[str]:
        """The names of the fields, those of the input first."""
        return self._native.channels

    @property
    def params(self) -> dict[str, float]:
        """The parameters."""
        return dict(self._native.params)

    def __repr__(self) -> str:
        return f"<PDE {self.name}: {self.equation}>"

    def _grid(self, shape: tuple[int, int], sides: Sides) -> Grid:
        y, x = self._native.points(shape, sides)
        return Grid(np.array(y), np.array(x), sides)


def _toml(
    name: str,
    names: list[str],
    input: str | Sequence[str] | None,
    time: str | None,
    lengths: Mapping[str, tuple[float, float] | None],
    own: Mapping[str, Mapping[str, str | tuple[Any, Any]]],
) -> str:
    """Returns the description of a PDE known by data alone, as the command line reads it. ``lengths``
    has what is said of the domain, and ``own`` what is said of a field, by the description's key and
    the field's name."""
    for key in (key for of_fields in own.values() for key in of_fields):
        if key not in names:
            raise ConfigError(f"PDE: no field `{key}`: {', '.join(names)}")
    # A JSON text, a list and a number are TOML too.
    lines = ["[pde]", f"name = {json.dumps(name)}"]
    if time is not None:
        lines.append(f"time = {json.dumps(time)}")
    if input is not None:
        lines.append(f"input = {json.dumps([input] if isinstance(input, str) else list(input))}")
    lines += [f"{key} = {[float(v) for v in two]}" for key, two in lengths.items() if two is not None]
    for field in names:
        lines += ["[[pde.field]]", f"name = {json.dumps(field)}"]
        for key, of_fields in own.items():
            if field in of_fields:
                lines.append(f"{key} = {_value(key, field, of_fields[field])}")
    return "\n".join(lines)


def _value(key: str, field: str, said: str | tuple[Any, Any]) -> str:
    """Returns a text, or a pair of texts or finite numbers, as TOML."""
    if isinstance(said, str):
        return json.dumps(said, ensure_ascii=False)
    try:
        parts = list(said)
    except TypeError:
        words = f"PDE: {key} of `{field}`: {said!r} found, a text or a pair expected"
        raise ConfigError(words) from None
    pair = [part if isinstance(part, str) else float(part) for part in parts]
    if any(isinstance(part, float) and not np.isfinite(part) for part in pair):
        raise ConfigError(f"PDE: {key} of `{field}`: {pair} found, finite numbers expected")
    return json.dumps(pair)


def pdes() -> list[str]:
    """Returns the names of the PDEs that have an equation and a solver."""
    return _native.names()


def _of(pde: str | PDE, params: Mapping[str, float] | None) -> PDE:
    if isinstance(pde, PDE):
        if params:
            raise ConfigError("params: the PDE has its own")
        return pde
    own = PDE.__new__(PDE)
    own._native = _native.Pde(pde, [(key, float(value)) for key, value in (params or {}).items()])
    return own


def _shape(grid: int | tuple[int, int]) -> tuple[int, int]:
    """Returns the numbers of points along y and x; one number stands for both."""
    both = (grid, grid) if np.ndim(grid) == 0 else tuple(np.asarray(grid, dtype=object).ravel())
    if len(both) != 2:
        raise ConfigError(f"grid = {grid}: one number of points a side, or two, expected")
    ny, nx = (_whole("grid", points, FEWEST_POINTS) for points in both)
    if max(ny, nx) > MOST_POINTS:
        raise ConfigError(f"grid = {grid}: at most {MOST_POINTS} points a side expected")
    return ny, nx


def simulate(
    pde: str | PDE,
    input: object,
    *,
    params: Mapping[str, float] | None = None,
    sides: Sides = UNIT,
    progress: bool | None = None,
) -> Solutions:
    """Solves for an input of your own, by the reference solver.

    ``input`` is one field ``[y, x]`` (a line ``[x]`` for burgers), or several, on a grid of any size.
    The solutions hold every field by its name, float64, with an axis of samples where the input has
    one. A doubt about a solution is a warning (:class:`AnswerWarning`).
    """
    own = _of(pde, params)
    name = own.channels[0]
    if own._native.takes_a_line:
        array = real(name, input, np.float64)
        if array.ndim not in (1, 2):
            found = list(array.shape)
            raise ShapeError(f"`{name}`: shape {found} found, [x] or [sample, x] expected")
        single = array.ndim == 1
        array = array.reshape(-1, 1, array.shape[-1])
    else:
        array, single = fields(name, input, np.float64)
    if array.size == 0:
        raise ShapeError(f"`{name}`: shape {list(array.shape)} holds no values")

    with Progress(progress) as bar:
        solved, told, doubts = own._native.simulate(array, sides, bar.callback)
    _warn(told)
    grid = own._grid((solved.shape[2], solved.shape[3]), sides)
    found_doubts: list[dict[str, Any]] = json.loads(doubts)
    return Solutions(
        own.name, own.channels, solved[0] if single else solved, grid, told, found_doubts
    )


def residual(
    pde: str | PDE,
    *fields: object,
    params: Mapping[str, float] | None = None,
    sides: Sides = UNIT,
    **named: object,
) -> Residual:
    """Returns how far fields are from the equation, with the discretisation of the solver.

    It is computed in float32, so that exact pairs have a residual, too: about 1e-5 on 64 x 64, and
    more the finer the grid is.

    The fields are given in the order of :attr:`PDE.channels`, or by name: ``residual("darcy", a, u)``,
    ``residual("darcy", a=a, u=u)``; each is ``[y, x]`` or ``[sample, y, x]``.
    """
    own = _of(pde, params)
    given = by_name(own.channels, fields, named)
    array, single = stacked(own.channels, given, np.float32)
    relative, equations = own._native.residual(array, sides)
    return Residual(relative[0], equations[0]) if single else Residual(relative, equations)


def generate(
    pde: str | PDE,
    count: int,
    *,
    grid: int | tuple[int, int] = 64,
    seed: int = 0,
    params: Mapping[str, float] | None = None,
    sides: Sides = UNIT,
    progress: bool | None = None,
) -> Fields:
    """Draws inputs of the PDE's law and solves for them; sample i depends on the seed and i alone."""
    own = _of(pde, params)
    shape = _shape(grid)
    with Progress(progress) as bar:
        array = own._native.generate(
            _whole("count", count, 1), shape, sides, _whole("seed", seed, 0), bar.callback
        )
    return Fields(own.name, own.channels, array, own._grid(shape, sides))
