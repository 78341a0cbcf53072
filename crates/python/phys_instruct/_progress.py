"""Progress of long work: a bar by tqdm where it is installed, else one line that is written over."""

from __future__ import annotations

import sys
import time
import warnings
from types import TracebackType
from typing import Any

from ._errors import AnswerWarning

#: Seconds of work after which progress is shown.
PATIENCE = 1.0


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


class Progress:
    """A receiver of progress; ``None`` shows it on terminals and in notebooks."""

    def __init__(self, wanted: bool | None) -> None:
        shown = wanted if wanted is not None else sys.stderr.isatty() or _in_notebook()
        self.callback = self._report if shown or wanted is None else None
        self._shown = shown
        self._start = time.monotonic()
        self._bar: Any = None
        self._what = ""
        self._began = self._start
        self._line = ""

    def _report(self, done: int, total: int, what: str) -> None:
        if total == 0:
            self._note(what)
        elif self._shown and time.monotonic() - self._start > PATIENCE:
            self._show(done, total, what)

    def _note(self, text: str) -> None:
        if text.startswith("warning: "):
            warnings.warn(text.removeprefix("warning: "), AnswerWarning, stacklevel=4)
        elif self._shown:
            self._clear()
            print(text, file=sys.stderr)

    def _show(self, done: int, total: int, what: str) -> None:
        if what != self._what:
            self._clear()
            self._what, self._began = what, time.monotonic()
        if total == 1:
            # Work in one piece has nothing to count but its seconds.
            self._over(f"{what}: {time.monotonic() - self._began:.0f} s")
            return
        if self._bar is None and not self._line:
            try:
                from tqdm.auto import tqdm  # type: ignore[import-untyped, unused-ignore]

                self._bar = tqdm(total=total, desc=what, leave=False)
            except ImportError:
                pass
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
        else:
            self._over(f"{what}: {done} of {total}")

    def _over(self, text: str) -> None:
        if text != self._line:
            print(f"\r{text}", end="", file=sys.stderr, flush=True)
        self._line = text

    def _clear(self) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._line:
            print(file=sys.stderr)
        self._bar, self._line, self._what = None, "", ""

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._clear()
