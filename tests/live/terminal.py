"""The tool behind a pseudo-terminal, with somebody who answers its prompts."""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

import server
from tool import Tool, binary

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")
# A prompt: a yes-or-no question, a word to be typed, or a name before a value.
PROMPT = re.compile(r"\? (?:(?P<question>Is it done\?|Go on\?)|(?P<word>Type \S+ to go on:)|(?P<name>[\w-]+):)")
# What may stand behind an open one; where an answer does, it is only being redrawn.
BEHIND = re.compile(r"\(y/N\)|\[[^\]\n]*\]|\s")
QUIET_SECONDS = 1.0


class Terminal:
    """A process behind a pseudo-terminal of 120 columns, and all that it wrote."""

    def __init__(self, tool: Tool, *arguments: str) -> None:
        self.written = ""
        self.screen = ""
        self.answered = 0
        self.questions: list[str] = []
        self.control, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))
        environment = tool.environment(TERM="xterm-256color")
        self.process = subprocess.Popen(
            [str(binary()), *arguments],
            cwd=tool.folder,
            env=environment,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=server.die_with_parent,
        )
        os.close(terminal)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        # Escapes may come in two pieces: what was written is kept whole.
        self.written += text.decode(errors="replace")
        self.screen = ESCAPES.sub("", self.written)
        return bool(text)

    def answer(self, text: str) -> None:
        self.questions.append(self.screen[self.answered :][-300:])
        self.answered = len(self.screen)
        os.write(self.control, text.encode() + b"\r")

    def asked(self) -> re.Match[str] | None:
        """The last prompt since the last answer, where nothing was entered yet."""
        text = self.screen[self.answered :]
        last = None
        for last in PROMPT.finditer(text):
            pass
        if last is None or BEHIND.sub("", text[last.end() :]):
            return None
        # An empty answer that was taken looks like an open prompt, but for the hint below it.
        return None if last["name"] and "[" not in text[last.end() :] else last

    def talk(self, seconds: float, yes: str = "y", fields: dict[str, str] | None = None) -> int:
        """Answers each question, and each field of a form by its name, until the process ends.

        Answers the exit code.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            size = len(self.screen)
            if not self.read(QUIET_SECONDS):
                return self.process.wait(10)
            if len(self.screen) > size:
                continue
            asked = self.asked()
            if asked is None:
                continue
            if asked["question"]:
                self.answer(yes)
            elif asked["word"]:
                self.answer("bad")
            else:
                self.answer((fields or {}).get(asked["name"], ""))
        raise AssertionError(f"not done in {seconds} s; the screen ends:\n{self.screen[-4000:]}")

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)
        with contextlib.suppress(OSError):
            os.close(self.control)
