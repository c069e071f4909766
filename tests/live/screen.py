"""A process on a terminal that is drawn in memory: what a person sees, and what can be scrolled back to."""

import os
import select
import time

import pyte

from pseudo import PseudoTerminal

# What only the part that is drawn over shows.
LEFTOVERS = ("──", "⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏", "░", "█")


class Screen(PseudoTerminal):
    """`with Screen(command, environment, 80, 24) as screen:`; the terminal does not break lines anew."""

    def __init__(self, command: list[str], environment: dict[str, str], columns: int, rows: int, **more) -> None:
        self.screen = pyte.HistoryScreen(columns, rows, history=5000, ratio=0.5)
        self.stream = pyte.ByteStream(self.screen)
        self.written = b""
        # xterm names itself: this tool must know that lines stay as they are when the window changes.
        kept = {"TERM": "xterm-256color", "XTERM_VERSION": "XTerm(390)", "LANG": "C.UTF-8", "PATH": os.environ["PATH"]}
        super().__init__(command, kept | environment, columns, rows, **more)

    def resize(self, columns: int, rows: int) -> None:
        self.read(0)
        self.screen.resize(rows, columns)
        self.tell_size(columns, rows)

    def take(self, text: bytes) -> None:
        self.written += text
        self.stream.feed(text)

    def type(self, keys: str) -> None:
        os.write(self.control, keys.encode())

    def until(self, shown: str, seconds: float = 30, gone: bool = False) -> str:
        """Reads until the screen shows it, or no longer does; answers the screen."""
        end = time.monotonic() + seconds
        while (shown in self.text()) == gone:
            assert time.monotonic() < end, f"{shown!r} in {seconds} s:\n{self.text()}"
            assert self.read(0.1), f"ended before {shown!r}:\n{self.text()}"
        return self.text()

    def to_the_end(self, seconds: float = 60) -> int:
        end = time.monotonic() + seconds
        while self.read(0.2):
            assert time.monotonic() < end, f"not done in {seconds} s:\n{self.text()}"
            if self.process.poll() is not None and not select.select([self.control], [], [], 0)[0]:
                break
        return self.process.wait(10)

    def lines(self) -> list[str]:
        """What can be scrolled back to, then what is shown."""
        width = self.screen.columns
        above = ["".join(line[x].data for x in range(width)).rstrip() for line in self.screen.history.top]
        return above + [line.rstrip() for line in self.screen.display]

    def transcript(self) -> str:
        return "\n".join(self.lines()).rstrip()

    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def leftovers(self) -> list[str]:
        """Lines of the part that is drawn over, which ought to be gone."""
        return [line for line in self.lines() if any(mark in line for mark in LEFTOVERS)]
