"""A person at a terminal: reads prompts, types answers, and remembers what was asked."""
import os
import pty
import select
import time


class Typist:
    """answers: {the beginning of a prompt: what is typed, one time after the other}. A prompt that is not among them, or asked once more
    than there are answers, is an error."""

    def __init__(self, *command, env, answers):
        self.answers = {prompt: list(typed) for prompt, typed in answers.items()}
        self.asked, self.seen, self.at = [], "", 0
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execvpe(str(command[0]), [str(word) for word in command], env)

    def prompt(self):
        """The prompt that waits at the end of what was printed; None: none does."""
        line = self.seen[self.at:].rsplit("\n", 1)[-1].lstrip("\r")
        return next((prompt for prompt in self.answers if line.startswith(prompt) and line.endswith(": ")), None)

    def type(self, prompt):
        self.asked.append(prompt)
        assert self.answers[prompt], f"{prompt!r} is asked once more\n{self.seen}"
        self.at = len(self.seen)
        os.write(self.terminal, self.answers[prompt].pop(0).encode() + b"\n")

    def work(self, patience=120):
        """To the end of the program; its exit status."""
        end = time.monotonic() + patience
        while True:
            assert time.monotonic() < end, f"it waits for something else:\n{self.seen}"
            if not select.select([self.terminal], [], [], 1)[0]:
                continue
            try:
                data = os.read(self.terminal, 4096)
            except OSError:  # Linux says so when nobody has the other end any more
                data = b""
            if not data:
                break
            self.seen += data.decode(errors="replace")
            prompt = self.prompt()
            if prompt is not None:
                self.type(prompt)
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
