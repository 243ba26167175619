"""Compile the parts of the network that a step calls: which of them, how, and what if it fails.

A part is a function of a module, marked `compilable`. Modules are not wrapped: their names, their
weights and their copies are what they were.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from functools import wraps
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import torch
import torch._functorch.config
from loguru import logger
from torch import Tensor, nn
from torch._dynamo.exc import (
    BackendCompilerFailed,
    FailOnRecompileLimitHit,
    TorchDynamoException,
)

Compiled = Literal["off", "auto", "max"]
"""Nothing; what gains on this device; everything, with kernels chosen by trial."""
MOST_GRAPHS = 64
"""Of one part: by precision, mode, kind of prompt, hypotheses, gradient, one object or several."""

Owner = TypeVar("Owner", bound=nn.Module)
Given = ParamSpec("Given")
Result = TypeVar("Result")


@dataclass
class Compiler:
    """What is compiled of one network, and what was given up."""

    how: Compiled
    device: str
    backend: str | Callable = "inductor"
    parts: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    _made: dict[tuple[Callable, bool], Callable] = field(default_factory=dict)

    def run(
        self,
        part: str,
        function: Callable[Given, Result],
        *given: Given.args,
        **named: Given.kwargs,
    ) -> Result:
        """Call a part compiled; as it is written if that has failed once."""
        if part in self.failed:
            return function(*given, **named)
        # what a CUDA graph returns is overwritten by its next run: without a gradient a copy is
        # all that is read later; with one, memories have to live until the clip's backward pass
        has_graph = self.how == "max" and self.device == "cuda" and not torch.is_grad_enabled()
        compiled = self._made.get((function, has_graph))
        if compiled is None:
            compiled = torch.compile(
                function, fullgraph=True, backend=self.backend, mode=self._mode(has_graph)
            )
            self._made[function, has_graph] = compiled
        try:
            if has_graph:
                torch.compiler.cudagraph_mark_step_begin()
            result = compiled(*given, **named)
        except (TorchDynamoException, FailOnRecompileLimitHit) as error:
            self.failed[part] = first_line(error)
            logger.warning(
                f"trainer.compile: the {part} cannot be compiled and runs as it is: "
                f"{self.failed[part]}"
            )
            return function(*given, **named)
        self.parts.add(part)
        return _copy(result) if has_graph else result

    def summary(self) -> dict[str, Any]:
        """Return what was compiled in this process so far, and how long that took; say it too."""
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        seconds = torch._dynamo.utils.calculate_time_spent()["total_wall_time"]
        parts = sorted(self.parts)
        logger.info(
            f"compiled {', '.join(parts) or 'nothing'}: {graphs} graphs in {seconds:.0f} s "
            f"(trainer.compile: {self.how})"
        )
        return {
            "how": self.how,
            "parts": parts,
            "failed": self.failed,
            "graphs": graphs,
            "seconds": seconds,
        }

    def _mode(self, has_graph: bool) -> str | None:
        if self.how != "max" or self.device != "cuda":
            return None
        return "max-autotune" if has_graph else "max-autotune-no-cudagraphs"


_COMPILERS: WeakKeyDictionary[nn.Module, Compiler] = WeakKeyDictionary()


def compilable(
    part: str, **lengths: tuple[int, ...]
) -> Callable[
    [Callable[Concatenate[Owner, Given], Result]], Callable[Concatenate[Owner, Given], Result]
]:
    """Let `compile_parts` compile a function, whose first argument is the module that it is of.

    Args:
        part: its name.
        lengths: by argument, the axes whose lengths change from frame to frame or clip to clip:
            one graph is made for all of them. Of a dataclass they are those of all its tensors.
    """

    def decorate(
        function: Callable[Concatenate[Owner, Given], Result],
    ) -> Callable[Concatenate[Owner, Given], Result]:
        signature = inspect.signature(function)

        @wraps(function)
        def run(owner: Owner, *given: Given.args, **named: Given.kwargs) -> Result:
            compiler = _COMPILERS.get(owner)
            if compiler is None:
                return function(owner, *given, **named)
            _mark_lengths(signature.bind(owner, *given, **named).arguments, lengths)
            return compiler.run(part, function, owner, *given, **named)

        return run

    return decorate


def _mark_lengths(arguments: Mapping[str, Any], lengths: Mapping[str, tuple[int, ...]]) -> None:
    """Tell the compiler which lengths vary.

    It would find out by itself, from a second graph on; but a checkpoint that had saved what the
    first one keeps would then be computed again with the second.
    """
    for name, axes in lengths.items():
        for tensor in _tensors([arguments.get(name)]):
            torch._dynamo.maybe_mark_dynamic(tensor, axes)


def _tensors(values: Iterable[object]) -> Iterable[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif is_dataclass(value):
            yield from _tensors(vars(value).values())


def _copy(result: Any) -> Any:  # noqa: ANN401 (what a part returns)
    if isinstance(result, Tensor):
        return result.clone()
    if isinstance(result, list):
        return [_copy(value) for value in result]
    return replace(result, **{name: _copy(value) for name, value in vars(result).items()})


def compile_parts(
    network: nn.Module, how: Compiled, device: torch.device, backend: str | Callable = "inductor"
) -> Compiler | None:
    """Have the parts of a network compiled, each when it is first called; return None = not.

    Args:
        network: SAM 2.
        how: see `Compiled`.
        device: on which it will run.
        backend: of `torch.compile`.
    """
    for module in (network, *network.children()):
        _COMPILERS.pop(module, None)
    if how == "off":
        return None
    if how == "auto" and device.type != "cuda":
        logger.debug(f"trainer.compile: auto compiles nothing on {device.type}: it gains nothing")
        return None
    reason = why_not(device, backend)
    if reason is not None:
        logger.warning(f"trainer.compile: nothing is compiled, because a test failed: {reason}")
        return None
    _configure()
    compiler = Compiler(how, device.type, backend)
    # parts are called with the network, or with a module of it
    for module in (network, *network.children()):
        _COMPILERS[module] = compiler
    return compiler


def is_compiled(network: nn.Module) -> bool:
    """Say whether parts of a network are compiled."""
    return network in _COMPILERS


def _configure() -> None:
    config = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, MOST_GRAPHS)
    # a part is one graph under DDP too: it would be cut where DDP's buckets end
    config.optimize_ddp = False
    # what cannot be compiled backward fails forward, where it can still run as it is written
    torch._functorch.config.force_non_lazy_backward_lowering = True


def why_not(device: torch.device, backend: str | Callable = "inductor") -> str | None:
    """Return why nothing can be compiled for a device, by compiling something small."""
    try:
        torch.compile(_small, fullgraph=True, backend=backend)(torch.ones(8, device=device))
    except TorchDynamoException as error:
        return first_line(error)
    return None


def _small(tensor: Tensor) -> Tensor:
    return tensor.sin() + 1


def first_line(error: Exception) -> str:
    """Return what an error is, and the first line of what it says; of what is behind it if any."""
    if isinstance(error, BackendCompilerFailed):
        error = error.inner_exception
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
