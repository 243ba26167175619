"""Which verbs there are: each is a module of this package, imported when it is called."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from sam2_video.cli.fresh_process import start_again_for_memory
from sam2_video.cli.verbs import USAGE_ERROR
from sam2_video.configuration import nearest

VERBS = {
    "train": "fine-tune on your videos; `train --create-config` writes every setting",
    "doctor": "what is wrong with this machine, and does a training fit into its memory?",
    "check": "look at data before training: what is there, what is wrong with it, the way out",
    "evaluate": "score a checkpoint on a data set: J&F of whole videos, tracked from prompts",
    "cache": "encode the training frames once, so that training reads no image",
    "export": "write a checkpoint as Meta, transformers or other tools read it",
    "score": "score predicted masks against true ones: J&F, J, F, without a model",
    "predict": "track what you point at through a video: masks, a movie, a contact sheet",
}
"""What each verb does, in a line; `sam2_video.cli.VERB` has `run_VERB(argv, program) -> int`."""


def main(argv: Sequence[str] | None = None, program: str = "sam2-video") -> int:
    """Run a verb and return the exit code: 0 done, 1 it failed, 2 wrong usage."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview(program))
        return 0
    verb, *rest = arguments
    if verb == "train" and argv is None:
        start_again_for_memory()
    if verb not in VERBS:
        close = nearest(verb, VERBS)
        hint = f"perhaps you meant {close}; " if close else ""
        print(f"{program}: no verb {verb!r}; {hint}there is: {', '.join(VERBS)}", file=sys.stderr)
        return USAGE_ERROR
    module = import_module(f"sam2_video.cli.{verb}")
    run: Callable[[Sequence[str], str], int] = getattr(module, f"run_{verb}")
    return run(rest, f"{program} {verb}")


def _overview(program: str) -> str:
    lines = [f"  {verb:<10} {summary}" for verb, summary in VERBS.items()]
    summary = "Fine-tune the memory of SAM 2 on your own videos."
    head = [f"usage: {program} VERB [OPTIONS]", "", summary, "", "verbs:"]
    return "\n".join([*head, *lines, "", f"{program} VERB --help lists the verb's flags"])
