"""The native part: no defaults, nothing computed. Use the package's own names instead."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TypedDict, final

import numpy as np
from numpy.typing import NDArray

_Path = str | PathLike[str]
_Progress = Callable[[int, int, str], object] | None

__all__ = [
    "Answer",
    "Drawn",
    "Model",
    "Pde",
    "bundled",
    "distill",
    "fit",
    "fit_student",
    "fit_teacher",
    "names",
    "train",
    "version",
]

version: str

class _Seen(TypedDict):
    field: str
    value: NDArray[np.float64]
    y: NDArray[np.float64]
    x: NDArray[np.float64]
    sd: NDArray[np.float64]
    on_grid: bool

# The text of a table, or the values of one field.
_Given = str | _Seen

class _Way(TypedDict):
    task: str
    ensemble: int
    seed: int
    method: str | None
    rounds: int | None
    noise: float | None
    robust: bool
    resolve: bool | None
    check: int | None

class _Run(TypedDict):
    sides: tuple[float, float]
    validation: int
    seconds: float
    seed: int
    unchecked: bool

class _Problems(TypedDict):
    task: str
    points: int
    noise: float

@final
class Pde:
    def __new__(cls, name: str, params: list[tuple[str, float]]) -> Pde: ...
    @staticmethod
    def described(toml: str) -> Pde: ...
    @property
    def name(self) -> str: ...
    @property
    def equation(self) -> str: ...
    @property
    def channels(self) -> list[str]: ...
    @property
    def params(self) -> list[tuple[str, float]]: ...
    @property
    def sides(self) -> list[float] | None: ...
    @property
    def takes_a_line(self) -> bool: ...
    def points(
        self, shape: tuple[int, int], sides: tuple[float, float]
    ) -> tuple[list[float], list[float]]: ...
    def simulate(
        self, inputs: NDArray[np.float64], sides: tuple[float, float], progress: _Progress
    ) -> tuple[NDArray[np.float64], list[str], str]: ...
    def residual(
        self, samples: NDArray[np.float32], sides: tuple[float, float]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]: ...
    def generate(
        self,
        count: int,
        shape: tuple[int, int],
        sides: tuple[float, float],
        seed: int,
        progress: _Progress,
    ) -> NDArray[np.float32]: ...

@final
class Drawn:
    @property
    def calls(self) -> int | None: ...
    @property
    def seconds_per_sample(self) -> float | None: ...
    def draw(self, values: NDArray[np.float32], path: _Path) -> None: ...
    def figures(
        self,
        values: NDArray[np.float32],
        reference: NDArray[np.float32] | None,
        progress: _Progress,
    ) -> str: ...

@final
class Answer:
    @property
    def channels(self) -> list[str]: ...
    @property
    def task(self) -> str: ...
    @property
    def notes(self) -> list[str]: ...
    @property
    def warnings(self) -> str: ...
    def members(self) -> NDArray[np.float32]: ...
    def mean(self) -> NDArray[np.float32]: ...
    def sd(self) -> NDArray[np.float32]: ...
    def quantile(self, share: float) -> NDArray[np.float32]: ...
    def probability_above(self, channel: int, level: float) -> NDArray[np.float32]: ...
    def save(
        self,
        path: _Path,
        levels: list[tuple[str, float]],
        truth: NDArray[np.float32] | None,
    ) -> list[Path]: ...
    def observations(self) -> list[tuple[object, ...]]: ...
    def names(self) -> list[str]: ...
    def checked(self) -> str: ...
    def figures(self, truth: NDArray[np.float32] | None) -> str: ...

@final
class Model:
    @staticmethod
    def load(name: _Path, folder: _Path) -> Model: ...
    def save(self, path: _Path) -> None: ...
    @property
    def path(self) -> Path | None: ...
    @property
    def checksum(self) -> str: ...
    @property
    def card(self) -> str: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def sides(self) -> tuple[float, float]: ...
    @property
    def warnings(self) -> list[str]: ...
    def points(self) -> tuple[list[float], list[float]]: ...
    def sample(
        self,
        count: int,
        calls: int | None,
        sampler: str,
        seed: int,
        polish: int,
        joint: bool,
        progress: _Progress,
    ) -> tuple[NDArray[np.float32], Drawn]: ...
    def prepare(self, progress: _Progress) -> str | None: ...
    def solve(
        self,
        file: _Path | None,
        seen: list[_Given],
        way: _Way,
        held_out: NDArray[np.float32] | None,
        progress: _Progress,
    ) -> tuple[Answer, list[str]]: ...

def names() -> list[str]: ...
def bundled(folder: _Path) -> list[Path]: ...
def fit(
    pde: Pde,
    pairs: NDArray[np.float32],
    way: _Run,
    problems: _Problems,
    out: _Path,
    progress: _Progress,
) -> tuple[Model, str]: ...
def fit_teacher(
    pde: Pde, pairs: NDArray[np.float32], way: _Run, out: _Path, progress: _Progress
) -> Model: ...
def fit_student(teacher: Model, seconds: float, out: _Path, progress: _Progress) -> Model: ...
def train(config: _Path, out: _Path, unchecked: bool, progress: _Progress) -> Model: ...
def distill(
    config: _Path, teacher: Model, out: _Path, unchecked: bool, progress: _Progress
) -> Model: ...
