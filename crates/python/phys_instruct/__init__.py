"""Few-step PDE solving by physics-guided distillation of diffusion models.

>>> import phys_instruct as pi
>>> student = pi.load("darcy-64")
>>> samples = student.sample(4, seed=0)
>>> samples["u"].shape
(4, 64, 64)

Names and meanings are those of the command line ``phys-instruct``, and so are results, bit for bit.
Arrays are in physical units, in C order ``[sample, y, x]``.
"""

from ._errors import (
    AnswerWarning,
    BackendError,
    CheckError,
    ConfigError,
    DivergedError,
    DtypeError,
    Error,
    FileError,
    ForkError,
    InternalError,
    Interrupted,
    MemoryLimitError,
    NoEquationError,
    NotConvergedError,
    NotFiniteError,
    ObservationError,
    PhysicsError,
    RequestError,
    ShapeError,
)
from ._fields import Fields, Grid, Residual, Samples, Solutions
from ._model import Model, bundled, load
from ._native import version as __version__
from ._observations import Observations
from ._pde import PDE, generate, pdes, residual, simulate
from ._posterior import Posterior
from ._training import Dataset, Fitted, distill, fit, train

__all__ = [
    "PDE",
    "AnswerWarning",
    "BackendError",
    "CheckError",
    "ConfigError",
    "Dataset",
    "DivergedError",
    "DtypeError",
    "Error",
    "Fields",
    "FileError",
    "Fitted",
    "ForkError",
    "Grid",
    "InternalError",
    "Interrupted",
    "MemoryLimitError",
    "Model",
    "NoEquationError",
    "NotConvergedError",
    "NotFiniteError",
    "ObservationError",
    "Observations",
    "PhysicsError",
    "Posterior",
    "RequestError",
    "Residual",
    "Samples",
    "ShapeError",
    "Solutions",
    "__version__",
    "bundled",
    "distill",
    "fit",
    "generate",
    "load",
    "pdes",
    "residual",
    "simulate",
    "train",
]
