"""A process behind a pseudo-terminal. What is made of what it writes is for the classes built on this one."""

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
from pathlib import Path
from typing import Self

import server


class PseudoTerminal:
    def __init__(
        self, command: list[str], environment: dict[str, str], columns: int, rows: int, cwd: Path | None = None, **streams
    ) -> None:
        """`streams` stand for stdin, stdout or stderr where those are not the terminal."""
        self.control, terminal = pty.openpty()
        self.tell_size(columns, rows)
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: (server.die_with_parent(), fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)),
            **{"stdin": terminal, "stdout": terminal, "stderr": terminal} | streams,
        )
        os.close(terminal)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(10)
        with contextlib.suppress(OSError):
            os.close(self.control)

    def tell_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.control, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds: float) -> bool:
        """Takes what was written within `seconds`; false when the terminal is closed."""
        ready, _, _ = select.select([self.control], [], [], seconds)
        if not ready:
            return True
        try:
            text = os.read(self.control, 65536)
        except OSError:  # Linux: the other end is gone
            return False
        # A terminal answers when asked where the cursor is; some prompts ask.
        if b"\x1b[6n" in text:
            os.write(self.control, b"\x1b[1;1R")
        self.take(text)
        return bool(text)

    def take(self, text: bytes) -> None:
        raise NotImplementedError
