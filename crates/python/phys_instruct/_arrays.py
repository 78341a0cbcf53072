"""Arrays as users have them, checked, and as the native part takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ._errors import DtypeError, RequestError, ShapeError

_Real = TypeVar("_Real", np.float32, np.float64)

Sides = tuple[float, float]


def real(name: str, values: object, dtype: type[_Real]) -> NDArray[_Real]:
    """Returns real numbers as an array of ``dtype``, without a copy where they are one already."""
    # A tensor of PyTorch that needs gradients, or lies on another device, says so here itself.
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise DtypeError(f"`{name}`: dtype {array.dtype} found, real numbers expected")
    if np.ma.isMaskedArray(values):
        array = np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)
    return np.asarray(array, dtype=dtype)


def fields(
    name: str, values: object, dtype: type[_Real]
) -> tuple[NDArray[_Real], bool]:
    """Returns fields ``[sample, y, x]``, and whether there was one alone, ``[y, x]``."""
    array = real(name, values, dtype)
    if array.ndim == 2:
        return array[np.newaxis], True
    if array.ndim == 4 and array.shape[1] == 1:
        return array[:, 0], False
    if array.ndim != 3:
        shape = list(array.shape)
        raise ShapeError(f"`{name}`: shape {shape} found, [y, x] or [sample, y, x] expected")
    return array, False


def stacked(
    channels: Sequence[str], given: Mapping[str, object], dtype: type[_Real]
) -> tuple[NDArray[_Real], bool]:
    """Returns the fields of all ``channels`` as ``[sample, channel, y, x]``, and whether each was one
    alone."""
    missing = [name for name in channels if name not in given]
    unknown = [name for name in given if name not in channels]
    if missing or unknown:
        found = ", ".join(given) or "none"
        raise ShapeError(f"fields {found} found, {', '.join(channels)} expected")

    each = {name: fields(name, given[name], dtype) for name in channels}
    shapes = {name: list(array.shape) for name, (array, _) in each.items()}
    if len({tuple(shape) for shape in shapes.values()}) > 1:
        told = ", ".join(f"`{name}` {shape}" for name, shape in shapes.items())
        raise ShapeError(f"fields of one shape expected, {told} found")
    return np.stack([array for array, _ in each.values()], axis=1), all(one for _, one in each.values())


def by_name(channels: Sequence[str], positional: Sequence[object], named: Mapping[str, object]) -> dict[str, object]:
    """Returns fields by name, of which the first were given by their order."""
    if len(positional) > len(channels):
        raise ShapeError(f"{len(positional)} fields found, {', '.join(channels)} expected")
    given: dict[str, object] = dict(zip(channels, positional))
    for name, values in named.items():
        if name in given:
            raise RequestError(f"`{name}` is given twice")
        given[name] = values
    return given


def column(values: Any, length: int | None, name: str) -> NDArray[np.float64]:
    """Returns a line of numbers; one number stands for ``length`` of them."""
    array = real(name, values, np.float64)
    if array.ndim == 0 and length is not None:
        return np.full(length, float(array))
    return np.ascontiguousarray(array.ravel())
