"""All that is found of a machine and a configuration, and its text."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from sam2_video.config import TrainConfig
from sam2_video.diagnosis.faults import Fault, find_disk_faults, find_faults
from sam2_video.diagnosis.fit import Fit, find_network, see_whether_it_fits
from sam2_video.diagnosis.machine import Machine, look_at_machine
from sam2_video.diagnosis.presets import find_preset
from sam2_video.training.machine import choose_precision

UNSEEN = (
    "counted from the tensors of a step; a GPU adds its context, the working memory of its "
    "libraries and fragments (not measured)"
)
PARTS = {
    "weights": "weights",
    "gradients": "gradients",
    "optimiser": "AdamW's state",
    "copies": "averaged weights",
    "batch": "frames and masks",
    "kept": "kept for backward",
    "working": "working memory",
}


@dataclass(frozen=True)
class Diagnosis:
    """What was found; `fit` is None where the network cannot be told."""

    machine: Machine
    faults: tuple[Fault, ...]
    fit: Fit | None

    @property
    def has_errors(self) -> bool:
        """Say whether a training would be stopped or spoilt."""
        return any(fault.grade == "error" for fault in self.faults)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        found: dict[str, Any] = asdict(self)
        found["has_errors"] = self.has_errors
        if self.fit is not None:
            found["fit"] |= {"fits": self.fit.fits, "total": self.fit.need.total}
        return found

    def __str__(self) -> str:
        """Return it as text, a line a thing."""
        lines = [*_describe_machine(self.machine)]
        if self.fit is not None:
            lines += ["", *_describe_fit(self.fit)]
        grades = ("error", "warning", "hint")
        faults = sorted(self.faults, key=lambda fault: grades.index(fault.grade))
        lines += ["", *(f"{fault.grade}: {fault.what}; {fault.way_out}" for fault in faults)]
        counts = (sum(fault.grade == grade for fault in faults) for grade in grades)
        return "\n".join([*lines, "{} errors, {} warnings, {} hints".format(*counts)])


def diagnose(config: TrainConfig) -> Diagnosis:
    """Look at the machine, and whether this configuration can be trained on it."""
    machine = look_at_machine()
    faults = find_faults(machine, config)
    try:
        architecture, is_assumed = find_network(config)
    except (ValueError, FileNotFoundError) as error:
        faults.append(Fault("error", f"the network cannot be told: {error}", "correct the setting"))
        return Diagnosis(machine, tuple(faults), None)
    is_on_gpu = bool(machine.gpus) and config.trainer.accelerator != "cpu"
    precision = choose_precision(config.trainer.precision, "gpu" if is_on_gpu else "cpu")
    room = min(gpu.free for gpu in machine.gpus) if is_on_gpu else machine.free_memory
    fit = see_whether_it_fits(
        config,
        architecture,
        precision,
        room,
        device="cuda" if is_on_gpu else "cpu",
        is_assumed=is_assumed,
    )
    if not fit.fits:
        faults.append(_too_little(fit))
    faults += find_disk_faults(config, fit.need.weights + fit.need.optimiser + fit.need.copies)
    return Diagnosis(machine, tuple(faults), fit)


def _too_little(fit: Fit) -> Fault:
    assert fit.room is not None
    what = f"a step needs about {_gb(fit.need.total)} and {_gb(fit.room)} are free"
    if fit.options and fit.options[-1].fits:
        return Fault("error", what, f"set {_settings(fit.options[-1].settings)} (same gradient)")
    way_out = (
        "also with all that keeps the gradient; lower dataset.max_objects, "
        "dataset.video_clip_length or dataset.image_size"
    )
    return Fault("error", what, way_out)


def _describe_machine(machine: Machine) -> Iterator[str]:
    yield f"machine   {machine.system}, {machine.processor}, {machine.num_cores} cores"
    if machine.memory is not None and machine.free_memory is not None:
        yield f"memory    {_gb(machine.memory)}, {_gb(machine.free_memory)} free"
    for gpu in machine.gpus:
        preset = find_preset(gpu.total)
        made_for_it = "" if preset is None else f"; its preset: {preset}"
        yield f"GPU       {gpu.name}, {_gb(gpu.total)}, {_gb(gpu.free)} free{made_for_it}"
    if not machine.gpus:
        yield "GPU       none that torch sees"
    built = "CPUs" if machine.torch_cuda is None else f"CUDA {machine.torch_cuda}"
    yield f"torch     {machine.versions['torch']}, built for {built}"
    others = (f"{name} {text}" for name, text in machine.versions.items() if name != "torch")
    yield f"versions  {', '.join(others)}"


def _describe_fit(fit: Fit) -> Iterator[str]:
    network = f"{fit.architecture}{' (assumed: no checkpoint is named)' if fit.is_assumed else ''}"
    room = "" if fit.room is None else f"; you have {_gb(fit.room)} free"
    yield f"this needs about {_gb(fit.need.total)}{room}"
    yield (
        f"  {network}, {fit.num_clips} clips of {fit.num_objects} objects a step, {fit.precision}"
    )
    for field in fields(fit.need):
        size = getattr(fit.need, field.name)
        if size:
            yield f"  {PARTS[field.name]:<18} {_gb(size):>9}"
    yield f"  {UNSEEN}; {_gb(fit.reserve)} are left for them"
    for option in fit.options:
        told = "fits" if option.fits else "does not fit"
        yield f"  with {_settings(option.settings)}: {_gb(option.need)}, {told}"


def _settings(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in settings.items())


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size < 1e10 else f"{size / 1e9:.1f} GB"
