"""Feed one reader with mutated files, and keep what it does not refuse as a user could bear."""

import hashlib
import resource
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import atheris
from loguru import logger

Mutator = Callable[[bytes, int, int], bytes]
EXTRA_BYTES = 2**30
"""Memory that a reader may take for an input, beyond what importing it took."""
SECONDS_AN_INPUT = 20
MAX_INPUT = 2**16


@dataclass(frozen=True)
class Target:
    """A reader, and files from which mutation starts.

    `read` gets a file of the name `file_name`, beside whatever `prepare` has put into its folder.
    """

    read: Callable[[Path], object]
    seeds: Callable[[], Sequence[bytes]]
    file_name: str
    prepare: Callable[[Path], object] = lambda folder: None
    mutator: Mutator | None = None


def read_each(path: Path, *readers: Callable[[], object]) -> None:
    """Let several readers have a file; each may refuse it, in a message that names it."""
    for read in readers:
        try:
            read()
        except (ValueError, OSError) as error:
            if path.name not in str(error):
                raise


def fuzz(name: str, target: Target) -> None:
    """Fuzz until libFuzzer's own flags, which the command line holds, say stop."""
    state = Path(__file__).parent / "state" / name
    corpus, faults = state / "corpus", state / "faults"
    for folder in (corpus, faults):
        folder.mkdir(parents=True, exist_ok=True)
    for content in target.seeds():
        (corpus / hashlib.sha1(content).hexdigest()).write_bytes(content)
    logger.remove()
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    target.prepare(folder)
    path = folder / target.file_name
    path.parent.mkdir(parents=True, exist_ok=True)

    def run(content: bytes) -> None:
        path.write_bytes(content)
        try:
            target.read(path)
        except (ValueError, OSError) as error:
            # or a file beside it, such as the frame that contradicts it
            is_named = path.name in str(error) or str(folder) in str(error)
            if is_named and len(str(error)) < 10_000:
                return
            _keep_fault(faults, content, error)
        # every other kind is what is looked for
        except BaseException as error:  # noqa: BLE001
            _keep_fault(faults, content, error)
        if (folder / "canary").exists():
            _keep_fault(faults, content, AssertionError("code of the input was run"))

    flags = [
        f"-timeout={SECONDS_AN_INPUT}",
        f"-max_len={MAX_INPUT}",
        f"-artifact_prefix={faults}/",
        "-rss_limit_mb=0",
        "-print_final_stats=1",
    ]
    options = {} if target.mutator is None else {"custom_mutator": target.mutator}

    atheris.Setup([sys.argv[0], *flags, *sys.argv[1:], str(corpus)], run, **options)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + EXTRA_BYTES,) * 2)
    atheris.Fuzz()


def _keep_fault(folder: Path, content: bytes, error: BaseException) -> None:
    """Keep the first input of each kind of fault, with what it did."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "sam2_video" in frame.filename] or frames[-1:]
    place = f"{Path(own[-1].filename).name}-{own[-1].name}" if own else "canary"
    path = folder / f"{type(error).__name__}-{place}"
    if not path.with_suffix(".txt").exists():
        path.with_suffix(".input").write_bytes(content)
        path.with_suffix(".txt").write_text("".join(traceback.format_exception(error))[-6000:])
