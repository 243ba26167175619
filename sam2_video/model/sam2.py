"""`SAM2Model`: loads, freezes, encodes frames and tracks objects, in training and inference."""

from collections.abc import Iterable, Iterator, Sequence, Sized

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from transformers import Sam2VideoModel
from transformers.utils import logging as transformers_logging

from sam2_video.model.architecture import Architecture, build_network
from sam2_video.model.checkpoint import (
    detect_architecture,
    load_weights,
    read_architecture,
    read_weights,
)
from sam2_video.model.heads import FrameFeatures
from sam2_video.model.initialise import initialise
from sam2_video.model.stream import ObjectPrompt, StreamTracker, TrackedFrame
from sam2_video.model.trainable import freeze_modes, set_trainable
from sam2_video.model.unroll import track_clips
from sam2_video.pixels import prepare_frames
from sam2_video.structures import FrameOutput, Prompt

ENCODE_CHUNK = 8
"""Images a frozen encoder sees at once: more gains nothing and costs memory."""


class SAM2Model(nn.Module):
    """SAM 2 with a differentiable tracker.

    The modules are transformers' `Sam2VideoModel` (`network`); tracking is ours and follows
    Meta's semantics.
    """

    def __init__(
        self, network: Sam2VideoModel, architecture: Architecture, image_size: tuple[int, int]
    ) -> None:
        super().__init__()
        self.network = network
        self.architecture = architecture
        self.image_size = image_size

    @classmethod
    def load(
        cls,
        checkpoint: str | None = None,
        config: str | None = None,
        image_size: tuple[int, int] = (1024, 1024),
        memory_attention_dropout: float = 0.0,
        seed: int = 0,
    ) -> "SAM2Model":
        """Build the model and load its weights.

        Args:
            checkpoint: Meta's `.pt`, a folder or hub id that transformers loads, one of our own
                checkpoints, or None for random weights drawn from `seed`.
            config: an architecture's name or Meta's YAML; None = read off the checkpoint.
            image_size: height, width of the model's input; multiples of 32.
            memory_attention_dropout: dropout of memory attention in training.
            seed: of random weights.

        Raises:
            FileNotFoundError: no such checkpoint or configuration.
            ValueError: weights and architecture do not fit, or a file is not what it should be.
        """
        weights = None if checkpoint is None else read_weights(checkpoint)
        if config is not None:
            architecture = read_architecture(config)
        elif weights is not None:
            architecture = detect_architecture(weights, str(checkpoint))
        else:
            raise ValueError(
                "model.config_path: got null and no checkpoint; expected a name such as "
                "sam2.1-tiny or micro, or Meta's YAML"
            )
        transformers_logging.set_verbosity_error()
        network = build_network(architecture, image_size, memory_attention_dropout)
        if weights is None:
            initialise(network, seed)
        else:
            load_weights(network, weights, str(checkpoint))
        return cls(network, architecture, image_size).eval()

    def set_trainable(self, patterns: Sequence[str]) -> None:
        """Let exactly the named modules or parameters learn; see `trainable.set_trainable`."""
        set_trainable(self.network, patterns)
        self.train(self.training)

    def train(self, mode: bool = True) -> "SAM2Model":
        """Set the mode; modules without a learning parameter stay in eval mode."""
        super().train(mode)
        freeze_modes(self.network)
        return self

    @property
    def device(self) -> torch.device:
        """Return the device of the weights."""
        return self.network.device

    def encode(self, pixels: Float[Tensor, "images 3 height width"]) -> FrameFeatures:
        """Encode normalised frames at the model's input size, each once.

        A frozen encoder runs without a graph, in chunks; its projections for the mask decoder
        belong to the decoder and keep theirs.
        """
        encoder = self.network.vision_encoder
        if any(parameter.requires_grad for parameter in encoder.parameters()):
            levels = encoder(pixels).fpn_hidden_states
        else:
            with torch.no_grad():
                chunks = [encoder(chunk).fpn_hidden_states for chunk in pixels.split(ENCODE_CHUNK)]
            levels = [torch.cat(level) for level in zip(*chunks, strict=True)]
        decoder = self.network.mask_decoder
        return FrameFeatures(
            embedding=levels[2],
            half=decoder.conv_s1(levels[1]),
            quarter=decoder.conv_s0(levels[0]),
        )

    def forward(
        self,
        pixels: Float[Tensor, "clips frames 3 height width"],
        object_clip: Int[Tensor, " objects"],
        prompts: Sequence[Prompt],
        truncate_memory_gradient: int | None = None,
    ) -> list[FrameOutput]:
        """Track the prompted objects of a batch of clips, with gradients through memory.

        Returns the outputs of `unroll.track_clips`.
        """
        num_frames = pixels.shape[1]
        return track_clips(
            self.network,
            self.encode(pixels.flatten(0, 1)),
            object_clip,
            prompts,
            num_frames,
            is_training=self.training,
            truncate_after=truncate_memory_gradient,
        )

    def track(
        self,
        frames: Iterable[UInt8[Tensor, "3 _height _width"]],
        prompts: Sequence[ObjectPrompt],
        is_memory_used: bool = True,
    ) -> Iterator[TrackedFrame]:
        """Track objects through the frames of a video, which may be a stream without end.

        Args:
            frames: RGB, uint8, of any size.
            prompts: of any objects on any frames, in pixels of those frames.
            is_memory_used: False shows what the network says with its memory emptied.

        Yields:
            Each frame with the objects prompted so far.

        Raises:
            ValueError: a prompt for a frame that never came, or of the wrong size.
        """
        waiting: dict[int, list[ObjectPrompt]] = {}
        for prompt in prompts:
            waiting.setdefault(prompt.frame, []).append(prompt)
        num_frames = len(frames) if isinstance(frames, Sized) else None
        if num_frames is not None:
            _check_all_come(waiting, num_frames)
        tracker = StreamTracker(self.network, self.image_size, num_frames, is_memory_used)
        num_seen = 0
        for index, frame in enumerate(frames):
            height, width = frame.shape[-2:]
            # not around the loop: a generator would leave the mode on for whoever asked
            with torch.inference_mode():
                pixels = prepare_frames(frame.to(self.device).unsqueeze(0), self.image_size)
                tracked = tracker.step(self.encode(pixels), (height, width), waiting.pop(index, []))
            yield tracked
            num_seen += 1
        _check_all_come(waiting, num_seen)


def _check_all_come(frames: Iterable[int], num_frames: int) -> None:
    """Raise ValueError for prompts on frames that the video does not have."""
    never = sorted(frame for frame in frames if not 0 <= frame < num_frames)
    if never:
        raise ValueError(f"prompts for frames {never}: the video has {num_frames} frames")
