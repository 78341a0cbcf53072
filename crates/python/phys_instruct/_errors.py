"""The exceptions and warnings of the package, with the words of the command line."""


class Error(Exception):
    """The base of every exception that this package raises by itself."""


class ConfigError(Error, ValueError):
    """A configuration, or an option, that cannot be run."""


class FileError(Error, OSError):
    """A file that cannot be read or written, or whose content is wrong."""


class ShapeError(Error, ValueError):
    """Arrays that do not fit each other, or not the model."""


class DtypeError(Error, TypeError):
    """An array of values that are no real numbers."""


class NotFiniteError(Error, ValueError):
    """A value that should be a finite number and is not."""


class ObservationError(Error, ValueError):
    """Observations that cannot be used."""


class PhysicsError(Error, ValueError):
    """A PDE, a parameter, a grid or an input that the physics refuses."""


class NotConvergedError(PhysicsError):
    """A reference solver that did not reach its tolerance."""


class NoEquationError(Error, ValueError):
    """Something that needs the equation, or the solver, of a PDE known by data alone."""


class RequestError(Error, ValueError):
    """A request for what there is not, such as a model that is not found."""


class MemoryLimitError(Error, MemoryError):
    """Work that would take more memory than there is."""


class BackendError(Error, RuntimeError):
    """A failure of the tensors or of the system under them."""


class DivergedError(Error, ArithmeticError):
    """A training that diverged."""


class ForkError(Error, RuntimeError):
    """A process that was forked after the library had worked, and lacks its threads."""


class InternalError(Error, RuntimeError):
    """A fault of the package itself."""


class CheckError(Error):
    """An answer that has warnings, raised by :meth:`Posterior.check`."""


class Interrupted(KeyboardInterrupt):
    """A training that was stopped after its checkpoint was written; the same call resumes."""


class AnswerWarning(UserWarning):
    """What does not fit: observations, an answer, a solution, or a model."""
