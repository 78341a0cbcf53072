"""Fields by name: samples, solutions, residuals; as xarray and as pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _native
from ._arrays import Sides, stacked
from ._errors import RequestError
from ._progress import Progress

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

Array = NDArray[Any]


class Residual(NamedTuple):
    """The residual of fields.

    ``relative`` is the relative root mean square residual of each sample: 0 for exact pairs, 1 where
    the solution has nothing to do with the input. ``fields`` is the residual itself,
    ``[sample, equation, y, x]``, in the units of the source term. A single sample has no first axis.
    """

    relative: Array
    fields: Array


class Grid(NamedTuple):
    """The points of fields along y and along x, and the lengths of the domain's sides."""

    y: Array
    x: Array
    sides: Sides


class Fields(Mapping[str, Array]):
    """Fields by name, ``[sample, y, x]`` each; views of one array ``[sample, channel, y, x]``."""

    def __init__(self, pde: str, channels: list[str], array: Array, grid: Grid) -> None:
        self.pde = pde
        """The PDE's name."""
        self.channels = list(channels)
        """The names of the fields."""
        self.array = array
        """All fields, ``[..., channel, y, x]``."""
        self.grid = grid
        """The points and the sides."""

    def __getitem__(self, name: str) -> Array:
        view: Array = self.array[..., self._channel(name), :, :]
        return view

    def _channel(self, name: str) -> int:
        if name not in self.channels:
            raise KeyError(f"no field `{name}`: {', '.join(self.channels)}")
        return self.channels.index(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.channels)

    def __len__(self) -> int:
        return len(self.channels)

    def __repr__(self) -> str:
        shape = ", ".join(str(n) for n in (*self.array.shape[:-3], *self.array.shape[-2:]))
        return f"<{type(self).__name__} of {self.pde}: {', '.join(self)} [{shape}]>"

    def to_xarray(self) -> xarray.Dataset:
        """Returns the fields as an ``xarray.Dataset`` with coordinates. Needs xarray."""
        return dataset({name: self[name] for name in self}, self.grid, "sample")

    def plot(self, name: str | None = None, count: int = 4) -> Figure:
        """Draws the first fields; ``name`` picks one. Needs matplotlib."""
        names = [name] if name is not None else list(self)
        shown = {n: np.atleast_3d(self[n].T).T[:count] for n in names}
        rows = [[(f"{n}", field) for field in shown[n]] for n in names]
        return draw(rows, self.grid)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the fields as ``.npz``, in the form that the command line reads."""
        path = Path(path)
        if path.suffix.lower() != ".npz":
            raise RequestError(f"{path}: .npz expected")
        values: dict[str, Any] = {name: np.asarray(self[name]) for name in self}
        if self.grid.sides != (1.0, 1.0):
            values["sides"] = np.asarray(self.grid.sides)
        # NumPy would add an extension to a path that ends in `.NPZ`.
        with path.open("wb") as file:
            np.savez(file, **values)


class Samples(Fields):
    """Samples of a model, with their figures."""

    def __init__(
        self, pde: str, channels: list[str], array: Array, drawn: _native.Drawn, grid: Grid
    ) -> None:
        super().__init__(pde, channels, array, grid)
        self._drawn = drawn
        self._figures: dict[str, Any] | None = None

    @property
    def calls(self) -> int | None:
        """The number of network calls per sample."""
        return self._drawn.calls

    @property
    def seconds_per_sample(self) -> float | None:
        """The library's own time for a sample, without polish."""
        return self._drawn.seconds_per_sample

    @property
    def figures(self) -> dict[str, Any]:
        """The figures of ``phys-instruct sample --json``, taken at the first look.

        The reference solver makes twice as many samples to measure against, which takes longer than
        sampling itself. :meth:`measure` measures against data of your own.
        """
        if self._figures is None:
            self._figures = self.measure()
        return self._figures

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the samples as ``phys-instruct sample --out`` does: the fields as ``.npz``, or a
        picture of the first four as ``.png`` or ``.svg``. A picture tells the figures, which are
        taken for it."""
        path = Path(path)
        if path.suffix.lower() not in (".npz", ".png", ".svg"):
            raise RequestError(f"{path}: .npz, .png or .svg expected")
        if path.suffix.lower() == ".npz":
            super().save(path)
        else:
            # The native part keeps the figures that are taken, and writes them below the picture.
            _ = self.figures
            self._drawn.draw(self.array, path)

    def measure(
        self, reference: Mapping[str, object] | None = None, *, progress: bool | None = None
    ) -> dict[str, Any]:
        """Returns the figures against ``reference``, fields by name; by default the solver's."""
        given = None
        if reference is not None:
            given = stacked(self.channels, dict(reference), np.float32)[0]
        with Progress(progress) as bar:
            figures: dict[str, Any] = json.loads(
                self._drawn.figures(self.array, given, bar.callback)
            )
        return figures


class Solutions(Fields):
    """Solutions of the reference solver, with its doubts."""

    def __init__(
        self,
        pde: str,
        channels: list[str],
        array: Array,
        grid: Grid,
        warnings: list[str],
        doubts: list[dict[str, Any]],
    ) -> None:
        super().__init__(pde, channels, array, grid)
        self.warnings = warnings
        """The doubts in words, each kind once."""
        self.doubts = doubts
        """The doubts as the command line's JSON has them: kind, severity, samples."""


def missing(package: str, what: str) -> ImportError:
    """Returns the error of a package that is not there and was not asked for before."""
    return ImportError(f"{what} needs {package}: pip install {package}", name=package)


def dataset(fields: Mapping[str, Array], grid: Grid, first: str) -> xarray.Dataset:
    """Returns fields ``[first, y, x]`` or ``[y, x]`` as a data set."""
    try:
        import xarray
    except ImportError:
        raise missing("xarray", "to_xarray") from None
    dims = {name: ([first, "y", "x"] if f.ndim == 3 else ["y", "x"]) for name, f in fields.items()}
    return xarray.Dataset(
        {name: (dims[name], values) for name, values in fields.items()},
        coords={"y": grid.y, "x": grid.x},
    )


def _figure(width: float, height: float) -> Figure:
    """Returns an empty figure of a size in inches, which a notebook shows without pyplot."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise missing("matplotlib", "plot") from None

    class Picture(Figure):
        def _repr_png_(self) -> bytes:
            buffer = BytesIO()
            self.savefig(buffer, format="png", dpi=80)
            return buffer.getvalue()

    return Picture(figsize=(width, height), layout="constrained")


def draw(
    rows: list[list[tuple[str, Array]]],
    grid: Grid,
    points: tuple[Array, Array] | None = None,
    alike: bool = True,
) -> Figure:
    """Draws rows of titled fields, each row with one scale of colours if ``alike``."""
    columns = max(len(row) for row in rows)
    figure = _figure(2.6 * columns, 2.4 * len(rows))
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for cells, row in zip(axes, rows):
        least, most = min(np.min(f) for _, f in row), max(np.max(f) for _, f in row)
        for axis in cells[len(row) :]:
            axis.set_axis_off()
        for axis, (title, field) in zip(cells, row):
            limits = {"vmin": least, "vmax": most} if alike else {}
            mesh = axis.pcolormesh(grid.x, grid.y, field, shading="nearest", **limits)
            figure.colorbar(mesh, ax=axis)
            axis.set(title=title, xlabel="x", ylabel="y", aspect="equal")
            if points is not None:
                axis.plot(points[1], points[0], "k.", markersize=3)
    return figure
