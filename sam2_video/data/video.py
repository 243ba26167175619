"""The one interface through which everything else sees a video: frames and objects, read lazily."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType

from jaxtyping import UInt8
from torch import Tensor

from sam2_video.data.source import FrameSource

Problems = dict[str, str]
"""Videos that could not be opened, by name, and why, in a line."""


class Video(ABC):
    """A video with annotated objects; nothing is read before it is asked for.

    A frame without an annotation is unlabelled: it says nothing. On a labelled frame an object is
    visible or absent. Which objects a frame shows is kept once it has been found out.
    """

    object_names: Mapping[int, str] = MappingProxyType({})
    """What the data call an object, such as its category, where they do."""

    def __init__(self, video_id: str, frames: FrameSource, frame_names: Sequence[str]) -> None:
        self.video_id = video_id
        self.frames = frames
        self.frame_names = tuple(frame_names)
        self._visible: dict[int, tuple[int, ...]] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.video_id!r}, {self.num_frames} frames)"

    @property
    def num_frames(self) -> int:
        """Return the number of frames."""
        return len(self.frame_names)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames and masks as stored."""
        return self._read_size()

    @cached_property
    def labelled_frames(self) -> tuple[int, ...]:
        """Frames that have an annotation, in order."""
        return tuple(i for i in range(self.num_frames) if self.is_labelled(i))

    @cached_property
    def object_ids(self) -> tuple[int, ...]:
        """All objects that are visible somewhere in the video, in order (reads all annotations)."""
        seen = (self.visible_objects(index) for index in self.labelled_frames)
        return tuple(sorted({object_id for ids in seen for object_id in ids}))

    @property
    def has_objects(self) -> bool:
        """Say whether any object is visible (reads annotations only up to the first that is)."""
        return any(self.visible_objects(index) for index in self.labelled_frames)

    def visible_objects(self, index: int) -> tuple[int, ...]:
        """Return the objects visible on a labelled frame, in order; none where unlabelled."""
        if not self.is_labelled(index):
            return ()
        if index not in self._visible:
            self._visible[index] = self._read_visible(index)
        return self._visible[index]

    def first_appearance(self, object_id: int) -> int:
        """Return the first labelled frame on which an object is visible."""
        for index in self.labelled_frames:
            if object_id in self.visible_objects(index):
                return index
        raise ValueError(
            f"video {self.video_id}: object {object_id} is not visible on any labelled frame; "
            f"its objects are {list(self.object_ids)}"
        )

    def read_frame(
        self, index: int, max_size: tuple[int, int] | None = None
    ) -> UInt8[Tensor, "3 height width"]:
        """Read one frame as RGB.

        Args:
            index: The frame.
            max_size: The largest height and width that are needed: the frame may come smaller
                than stored where its format decodes faster so, but never smaller than this.
        """
        return self.frames.read(index, max_size)

    def read_masks(
        self, index: int, object_ids: Sequence[int]
    ) -> UInt8[Tensor, "objects height width"]:
        """Read the masks (0, 1, 255 = ignore) of some objects on a labelled frame, as stored.

        Empty where the annotation does not speak of the object: ask `is_labelled` for each.
        """
        if not self.is_labelled(index):
            raise ValueError(
                f"video {self.video_id}, frame {self.frame_names[index]}: no annotation; "
                "ask is_labelled before read_masks"
            )
        return self._read_masks(index, object_ids)

    @abstractmethod
    def is_labelled(self, index: int, object_id: int | None = None) -> bool:
        """Say whether a frame has an annotation, or one that speaks of the object given."""

    @abstractmethod
    def _read_visible(self, index: int) -> tuple[int, ...]:
        """Return the objects with at least one pixel on a labelled frame, in order."""

    @abstractmethod
    def _read_masks(
        self, index: int, object_ids: Sequence[int]
    ) -> UInt8[Tensor, "objects height width"]:
        """Read masks of a frame that is known to be labelled."""

    def _read_size(self) -> tuple[int, int]:
        return self.frames.size
