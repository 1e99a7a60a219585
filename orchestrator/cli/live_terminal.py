"""Lines on a terminal that are drawn again and again, and the keys that are pressed meanwhile.

The terminal is as it was before when this ends, however it ends: also after an error, Ctrl-C, SIGTERM, and while the
program is stopped with Ctrl-Z. Line editing and echo are switched off only if keys are read.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from seedfold.orchestrator.cli.console import StyledLine, output_width, to_ansi

if TYPE_CHECKING:
    from rich.live import Live

_KEY_OF_SEQUENCE = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1b[5~": "page up",
    b"\x1b[6~": "page down",
    b"\r": "enter",
    b"\n": "enter",
    b"\x1b": "escape",
    b"\x7f": "backspace",
    b"\b": "backspace",
}
_LONGEST_SEQUENCE = 32
_DEFAULT_HEIGHT = 24


class LiveTerminal:
    """A terminal that shows lines; use it as a context manager. It reads keys if ``with_keys`` and there are any."""

    def __init__(self, with_keys: bool = True) -> None:
        self._has_keys = with_keys and sys.stdin.isatty()
        self._live: Live | None = None
        self._modes_before: list[Any] | None = None
        self._handlers_before: dict[signal.Signals, Any] = {}
        self._may_suspend = False
        self._suspend_later = False

    @property
    def has_keys(self) -> bool:
        """Whether keys are read."""
        return self._has_keys

    def __enter__(self) -> LiveTerminal:
        self._begin()
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def show(self, lines: Sequence[StyledLine]) -> None:
        """Draw lines in place of those before, as many as there is room for."""
        from rich.text import Text

        assert self._live is not None
        self._live.console.width = output_width()
        shown = "\n".join(map(to_ansi, lines[: self.height()]))
        self._live.update(Text.from_ansi(shown, no_wrap=True, overflow="ellipsis"), refresh=True)

    def height(self) -> int:
        """The number of lines for which there is room."""
        with suppress(OSError):
            return (os.get_terminal_size(sys.stdout.fileno()).lines or _DEFAULT_HEIGHT) - 1
        return _DEFAULT_HEIGHT - 1

    def read_key(self, seconds: float) -> str | None:
        """Wait for a key at most so long, and return it: a letter, or ``up``, ``down``, ``enter`` and so on."""
        self._may_suspend = True
        try:
            if self._suspend_later:
                self._suspend()
            if not self._has_keys:
                time.sleep(seconds)
                return None
            handle = sys.stdin.fileno()
            if not select.select([handle], [], [], seconds)[0]:
                return None
            typed = _read_one(handle)
        finally:
            self._may_suspend = False
        self._has_keys = bool(typed)
        return _KEY_OF_SEQUENCE.get(typed) or typed.decode(errors="replace")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Give the terminal to something else meanwhile, such as a pager or a question."""
        self._end()
        try:
            yield
        finally:
            self._begin()

    def _begin(self) -> None:
        from rich.live import Live
        from rich.text import Text

        from seedfold.orchestrator.cli.grid import make_console

        self._handle(signal.SIGTERM, self._on_terminate)
        self._handle(signal.SIGTSTP, self._on_suspend)
        if self._has_keys:
            self._read_keys_at_once()
        self._live = Live(
            Text(),
            console=make_console(),
            # A display with keys has the terminal for itself, and leaves what was there before.
            screen=self._has_keys,
            auto_refresh=False,
            transient=not self._has_keys,
            redirect_stdout=False,
        )
        self._live.start()

    def _end(self) -> None:
        try:
            if self._live is not None:
                self._live.stop()
                self._live = None
        finally:
            if self._modes_before is not None:
                import termios

                # The terminal may be gone.
                with suppress(termios.error):
                    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._modes_before)
                self._modes_before = None
            while self._handlers_before:
                signal.signal(*self._handlers_before.popitem())

    def _read_keys_at_once(self) -> None:
        import termios
        import tty

        self._modes_before = termios.tcgetattr(sys.stdin)
        tty.setcbreak(sys.stdin)

    def _handle(self, number: signal.Signals, handler: Any) -> None:
        """Handle a signal, unless whoever started this program ignores it."""
        before = signal.getsignal(number)
        if before is not signal.SIG_IGN:
            self._handlers_before[number] = before
            signal.signal(number, handler)

    def _on_terminate(self, number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    def _on_suspend(self, number: int, frame: FrameType | None) -> None:
        """Stop at once while waiting for a key, else at the next time: what is drawn meanwhile stays whole."""
        if self._may_suspend:
            self._suspend()
        else:
            self._suspend_later = True

    def _suspend(self) -> None:
        self._suspend_later = False
        with self.paused():
            os.kill(os.getpid(), signal.SIGTSTP)


def _read_one(handle: int) -> bytes:
    """Read a key: a character, or all of a sequence that begins with escape. Nothing at the end of the input."""
    typed = os.read(handle, 1)
    if typed == b"\x1b":
        while len(typed) < _LONGEST_SEQUENCE and select.select([handle], [], [], 0)[0]:
            typed += os.read(handle, 1)
            if len(typed) > 2 and 0x40 <= typed[-1] <= 0x7E:
                break
    elif typed and typed[0] >= 0xC0:
        # The rest of a character of several bytes.
        typed += os.read(handle, 1 + (typed[0] >= 0xE0) + (typed[0] >= 0xF0))
    return typed
