"""`SAM2Model`: loads, freezes, encodes frames and tracks objects, in training and inference."""

from collections.abc import Iterable, Iterator, Sequence, Sized

import torch
from jaxtyping import Float, Int, UInt8
from loguru import logger
from torch import Tensor, nn
from transformers import Sam2VideoModel
from transformers.utils import logging as transformers_logging

from sam2_video.model.adapters import add_adapters, linear_layers
from sam2_video.model.architecture import Architecture, build_network
from sam2_video.model.checkpoint import load_weights, read_weights
from sam2_video.model.detect import detect_architecture
from sam2_video.model.heads import FrameFeatures
from sam2_video.model.hiera import encode_images
from sam2_video.model.initialise import initialise
from sam2_video.model.meta_yaml import read_architecture
from sam2_video.model.object_prompt import ObjectPrompt
from sam2_video.model.propagation import Direction, FrameSequence, track_stream, track_video
from sam2_video.model.recompute import Recomputed
from sam2_video.model.stream import OBJECTS_AT_ONCE, StreamTracker, TrackedFrame
from sam2_video.model.trainable import find_names, freeze_modes, set_trainable
from sam2_video.model.unroll import track_clips
from sam2_video.pixels import prepare_frames
from sam2_video.structures import Corrections, FrameLevels, FrameOutput, Prompt

IMAGES_AT_ONCE, PIXELS_AT_ONCE = 8, 1024**2
"""What a frozen encoder sees at once, at most: more gains nothing and costs memory."""


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
            architecture = detect_architecture(weights)
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
            number = load_weights(network, weights)
            logger.info(
                f"loaded {number} of {number} tensors from {checkpoint} as {architecture.name}"
            )
        return cls(network, architecture, image_size).eval()

    def set_trainable(self, patterns: Sequence[str]) -> None:
        """Let exactly the named modules or parameters learn; see `trainable.set_trainable`."""
        set_trainable(self.network, patterns)
        self.train(self.training)

    def add_adapters(
        self,
        patterns: Sequence[str],
        rank: int = 8,
        alpha: float = 16.0,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        """Put low-rank adapters beside the linear layers that names or globs match.

        They learn, in place of the layers' own weights; the model says the same as before. 1 x 1
        convolutions are linear layers. Checkpoints that other tools read have the adapters added
        into the weights.

        Args:
            patterns: of modules, as in `set_trainable`.
            rank: of the adapters.
            alpha: their output is scaled by alpha / rank.
            dropout: of their input, in training.
            seed: of their random first matrix.

        Raises:
            ValueError: a pattern that matches no linear layer; names the nearest module.
        """
        names = [f"{layer}.weight" for layer in linear_layers(self.network)]
        chosen: set[str] = set()
        for pattern in patterns:
            chosen |= find_names(names, pattern, "lora.modules")
        layers = [name.removesuffix(".weight") for name in names if name in chosen]
        add_adapters(self.network, layers, rank=rank, alpha=alpha, dropout=dropout, seed=seed)
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

    @property
    def is_encoder_learning(self) -> bool:
        """Say whether frames are encoded with a graph."""
        return any(p.requires_grad for p in self.network.vision_encoder.parameters())

    @property
    def is_projection_learning(self) -> bool:
        """Say whether the decoder's projections of the finer levels learn."""
        decoder = self.network.mask_decoder
        projections = decoder.conv_s0, decoder.conv_s1
        return any(p.requires_grad for layer in projections for p in layer.parameters())

    def encode(self, pixels: Float[Tensor, "images 3 height width"]) -> FrameFeatures:
        """Encode normalised frames at the model's input size, each once."""
        if self.is_encoder_learning:
            return self.features_from(self.encode_levels(pixels))
        return self.features_from(self.encode_fixed(pixels))

    def encode_levels(self, pixels: Float[Tensor, "images 3 height width"]) -> FrameLevels:
        """Return the encoder's own pyramid."""
        quarter, half, embedding = encode_images(self.network.vision_encoder, pixels)
        return FrameLevels(embedding, half, quarter, is_projected=False)

    def encode_fixed(self, pixels: Float[Tensor, "images 3 height width"]) -> FrameLevels:
        """Encode frames as far as nothing learns, without a graph, a few at a time.

        The projections for the mask decoder, which make it a fifth as large, are the decoder's:
        where they learn they are left out, and keep their graph.
        """
        at_once = min(max(PIXELS_AT_ONCE // pixels[0, 0].numel(), 1), IMAGES_AT_ONCE)
        with torch.no_grad():
            return FrameLevels.join([self._fix(chunk) for chunk in pixels.split(at_once)])

    def _fix(self, pixels: Float[Tensor, "images 3 height width"]) -> FrameLevels:
        levels = self.encode_levels(pixels)
        if self.is_projection_learning:
            return levels
        features = self.features_from(levels)
        return FrameLevels(features.embedding, features.half, features.quarter, is_projected=True)

    def features_from(self, levels: FrameLevels) -> FrameFeatures:
        """Return what the tracker reads of encoded frames, in the precision of the encoder."""
        kind = self.device.type
        is_mixed = torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if is_mixed else self.network.dtype
        embedding, half, quarter = levels.change(lambda level: level.to(dtype)).levels
        if not levels.is_projected:
            decoder = self.network.mask_decoder
            half, quarter = decoder.conv_s1(half), decoder.conv_s0(quarter)
        return FrameFeatures(embedding, half, quarter)

    def forward(
        self,
        pixels: Float[Tensor, "clips frames 3 height width"],
        object_clip: Int[Tensor, " objects"],
        prompts: Sequence[Prompt],
        truncate_memory_gradient: int | None = None,
        corrections: Sequence[Corrections] = (),
        activation_checkpointing: Recomputed = "none",
    ) -> list[FrameOutput]:
        """Track the prompted objects of a batch of clips, with gradients through memory.

        Returns the outputs of `unroll.track_clips`.
        """
        features = self.encode(pixels.flatten(0, 1))
        return self.track_encoded(
            features,
            object_clip,
            prompts,
            pixels.shape[1],
            truncate_memory_gradient,
            corrections,
            activation_checkpointing,
        )

    def track_encoded(
        self,
        features: FrameFeatures,
        object_clip: Int[Tensor, " objects"],
        prompts: Sequence[Prompt],
        num_frames: int,
        truncate_memory_gradient: int | None = None,
        corrections: Sequence[Corrections] = (),
        activation_checkpointing: Recomputed = "none",
        last_frames: Sequence[int] | None = None,
    ) -> list[FrameOutput]:
        """Do the rest of `forward` where the frames of all clips are encoded, clip by clip."""
        return track_clips(
            self.network,
            features,
            object_clip,
            prompts,
            num_frames,
            is_training=self.training,
            truncate_after=truncate_memory_gradient,
            corrections=corrections,
            recomputed=activation_checkpointing,
            last_frames=last_frames,
        )

    def track(
        self,
        frames: FrameSequence | Iterable[UInt8[Tensor, "3 _height _width"]],
        prompts: Sequence[ObjectPrompt],
        is_memory_used: bool = True,
        *,
        start: int | None = None,
        direction: Direction = "forward",
        max_objects: int = OBJECTS_AT_ONCE,
    ) -> Iterator[TrackedFrame]:
        """Track objects through the frames of a video, which may be a stream without end.

        Frames that can be asked for in any order (a list, a tensor, any `Sequence`) are tracked as
        by Meta's video predictor with all prompts added first: a frame also reads what was shown on
        frames after it. Of a stream a frame knows only what came before; where no object is
        prompted on two frames, and from 16 frames on (SAM 2 counts the age of object pointers by
        the length of shorter videos), the two are the same. Memory stays bounded: the latest
        frames, and those that were prompted.

        Args:
            frames: RGB, uint8, of any size.
            prompts: of any objects on any frames, in pixels of those frames.
            is_memory_used: False shows what the network says with its memory emptied.
            start: the frame from which all objects are tracked, whenever they are prompted
                (`start_frame_idx` of Meta's predictor); None = each from its own first prompt.
            direction: from the start to the end ("forward") or to the first frame ("reverse"),
                or forward and then in reverse ("both": each pass yields the frame it starts on).
            max_objects: how many objects run together; changes memory and speed, not results.

        Yields:
            Each frame with the objects tracked on it: forward from the first frame (or `start`).

        Raises:
            ValueError: a prompt for a frame that never came, or of the wrong size; a start or
                a direction for a stream.
        """
        if isinstance(frames, Tensor):
            frames = frames.unbind()
        num_frames = len(frames) if isinstance(frames, Sized) else None
        tracker = StreamTracker(
            self.network,
            self.image_size,
            num_frames,
            is_memory_used,
            start=start,
            is_reverse=direction == "reverse",
            will_turn=direction == "both",
            max_objects=max_objects,
        )
        if isinstance(frames, Sequence):
            return track_video(tracker, frames, prompts, self._encode_frame, start, direction)
        if start is not None or direction != "forward":
            raise ValueError(
                f"start, direction: got {start}, {direction!r} for frames that come one after "
                "another; expected none, or frames that can be indexed, such as a list"
            )
        return track_stream(tracker, frames, prompts, self._encode_frame)

    def _encode_frame(self, frame: UInt8[Tensor, "3 height width"]) -> FrameFeatures:
        return self.encode(prepare_frames(frame.to(self.device).unsqueeze(0), self.image_size))
