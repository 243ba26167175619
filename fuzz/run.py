"""Run targets one after another, each for some seconds, and write down what was seen."""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
TARGETS = tuple(sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.py")))


def run_target(name: str, seconds: int) -> dict[str, object]:
    """Fuzz one target and return what is to be kept of it."""
    start = time.monotonic()
    command = [sys.executable, "-m", f"fuzz.fuzz_{name}", f"-max_total_time={seconds}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
    state = HERE / "state" / name
    (state / "faults").mkdir(parents=True, exist_ok=True)
    (state / "corpus").mkdir(exist_ok=True)
    (state / "log").write_text(done.stderr)
    counts = re.findall(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    return {
        "runs": int(counts[-1]) if counts else None,
        "seconds": round(time.monotonic() - start),
        "kept": len(list((state / "corpus").iterdir())),
        "faults": sorted(
            path.name for path in (state / "faults").iterdir() if path.suffix != ".input"
        ),
        "exit_code": done.returncode,
    }


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; none = all")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--out", type=Path, default=HERE / "state" / "fuzz.json")
    flags = parser.parse_args()
    known = json.loads(flags.out.read_text()) if flags.out.is_file() else {}
    for name in flags.targets or TARGETS:
        known[name] = run_target(name, flags.seconds)
        print(f"{name}: {known[name]}", flush=True)
        flags.out.parent.mkdir(parents=True, exist_ok=True)
        flags.out.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
