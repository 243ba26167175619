"""Measure each setting in a process of its own, so that no peak mixes with another's."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

Setting = TypeVar("Setting")


def measure_apart(
    module: str,
    settings: Sequence[Setting],
    measure: Callable[[Setting], dict[str, Any]],
    description: str | None,
    **environment: str,
) -> Iterator[tuple[Setting, dict[str, Any]]]:
    """Yield each setting with what was measured of it.

    The process runs `python -m module --child INDEX`, whose `main` comes here, and ends.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    child = parser.parse_args().child
    if child is not None:
        print(json.dumps(measure(settings[child])))
        raise SystemExit
    for index, setting in enumerate(settings):
        done = subprocess.run(
            [sys.executable, "-m", module, "--child", str(index)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        yield setting, json.loads(done.stdout.splitlines()[-1])
