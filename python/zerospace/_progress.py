"""Progress of a campaign: a bar in a terminal, a line in a notebook, nothing elsewhere."""

from __future__ import annotations

import sys
import time

_WIDTH = 24


def reporter(progress):
    """The function that a campaign tells its progress, or nothing."""
    if callable(progress):
        return progress
    if not progress:
        return None
    if _in_notebook():
        return _Line(sys.stdout)
    return _Line(sys.stderr) if sys.stderr is not None and sys.stderr.isatty() else None


def _in_notebook():
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class _Line:
    """One line that is written again and again."""

    def __init__(self, stream):
        self._stream, self._begun, self._first, self._longest = stream, time.monotonic(), None, 0

    def __call__(self, done, total, label):
        if self._first is None:
            self._first = done
        filled = _WIDTH * done // max(total, 1)
        text = f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {done}/{total} trials{self._left(done, total)}  {label}"
        self._longest = max(self._longest, len(text))
        self._stream.write("\r" + text.ljust(self._longest))
        self._stream.flush()

    def _left(self, done, total):
        computed = done - self._first
        if computed == 0:
            return ""
        seconds = round((time.monotonic() - self._begun) / computed * (total - done))
        return f", {seconds // 60}:{seconds % 60:02} left"

    def close(self):
        if self._first is not None:
            self._stream.write("\n")
            self._stream.flush()
