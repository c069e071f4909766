"""The tool behind a pseudo-terminal, with somebody who answers its prompts."""

import os
import re
import time

from pseudo import PseudoTerminal
from tool import Tool, binary

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")
# A prompt: a yes-or-no question, a word to be typed, or a name before a value.
PROMPT = re.compile(r"\? (?:(?P<question>Is it done\?|Go on\?)|(?P<word>Type \S+ to go on:)|(?P<name>[\w-]+):)")
# What may stand behind an open one; where an answer does, it is only being redrawn.
BEHIND = re.compile(r"\(y/N\)|\[[^\]\n]*\]|\s")
QUIET_SECONDS = 1.0


class Terminal(PseudoTerminal):
    """A process behind a pseudo-terminal of 120 columns, and all that it wrote."""

    def __init__(self, tool: Tool, *arguments: str) -> None:
        self.written = ""
        self.screen = ""
        self.answered = 0
        self.questions: list[str] = []
        command = [str(binary()), *arguments]
        super().__init__(command, tool.environment(TERM="xterm-256color"), 120, 50, cwd=tool.folder)

    def take(self, text: bytes) -> None:
        # Escapes may come in two pieces: what was written is kept whole.
        self.written += text.decode(errors="replace")
        self.screen = ESCAPES.sub("", self.written)

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
