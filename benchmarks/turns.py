"""Processes that take turns: each does a piece of work when it is told to, and waits meanwhile.

So what is compared runs A B A B on the same machine in the same minute, loads its weights once,
and no peak of memory mixes with another's. A child is told its task in the first line it reads;
every answer is one line of JSON behind a mark, for libraries print what they like.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

MARK = "@turn "
Answer = dict[str, Any]


class WorkerFailedError(RuntimeError):
    """A process ended, or said that it could not go on; the message says why."""


class Worker:
    """A process that runs `python -m MODULE`, which calls `serve`; `environment` adds to ours."""

    def __init__(
        self, module: str, task: Mapping[str, Any], environment: Mapping[str, str] | None = None
    ) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (`close` closes it)
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | (environment or {}),
        )
        try:
            self.prepared = self.ask(task)
        except WorkerFailedError:
            self.close()
            raise

    def ask(self, request: Mapping[str, Any]) -> Answer:
        """Let the process do one piece of work and return what it says.

        Raises:
            WorkerFailedError: it could not.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # a process that has ended: why, is said below
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith(MARK):
                answer = json.loads(line.removeprefix(MARK))
                if "failed" in answer:
                    raise WorkerFailedError(answer["failed"])
                return answer
        raise WorkerFailedError(self._why_it_ended())

    def close(self) -> None:
        """Let the process end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._errors.close()

    def _why_it_ended(self) -> str:
        code = self._process.wait()
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        self._errors.seek(0)
        lines = self._errors.read().splitlines()
        return f"ended with {code}: {lines[-1] if lines else 'nothing was said'}"


def serve(prepare: Callable[[Answer], tuple[Answer, Callable[[Answer], Answer]]]) -> None:
    """Do the work of a worker's process until its input ends.

    Args:
        prepare: is told the task, and returns what to say of it, and what does each piece of work.
    """
    prepared, work = prepare(json.loads(sys.stdin.readline()))
    say(prepared)
    for line in sys.stdin:
        say(work(json.loads(line)))


def say(answer: Mapping[str, Any]) -> None:
    """Answer the process that asks."""
    print(MARK + json.dumps(answer), flush=True)
