"""The one interface through which everything else sees a video: frames and objects, read lazily."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType

import numpy as np
from jaxtyping import Int32, UInt8
from torch import Tensor

from sam2_video.data.packed import Names, Numbers
from sam2_video.data.source import FrameSource
from sam2_video.structures import OBJECT

Problems = dict[str, str]
"""Videos that could not be opened, by name, and why, in a line."""
UNKNOWN = -1
"""Which objects a frame shows has not been found out."""


class Video(ABC):
    """A video with annotated objects; nothing is read before it is asked for.

    A frame without an annotation is unlabelled: it says nothing. On a labelled frame an object is
    visible or absent. Which objects a frame shows is kept once it has been found out.
    """

    object_names: Mapping[int, str] = MappingProxyType({})
    """What the data call an object, such as its category, where they do."""
    when_it_learns: Callable[["Video"], None] | None = None
    """Called with the video when it has read what its memory, which others share, did not hold."""

    def __init__(self, video_id: str, frames: FrameSource, frame_names: Sequence[str]) -> None:
        self.video_id = video_id
        self.frames = frames
        self.frame_names = Names(frame_names)
        # frames mostly show one of few sets of objects: a number a frame says which
        self._shown = np.full(len(self.frame_names), UNKNOWN, dtype=np.int32)
        self._sets: list[tuple[int, ...]] = []

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
    def labelled_frames(self) -> Sequence[int]:
        """Frames that have an annotation, in order."""
        return Numbers(i for i in range(self.num_frames) if self.is_labelled(i))

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
        if self._shown[index] == UNKNOWN:
            self._keep_visible(index, self._read_visible(index))
        return self._sets[self._shown[index]]

    def visible_areas(self, index: int) -> Mapping[int, int]:
        """Read how many pixels each object has that is visible on a labelled frame, in order."""
        areas = self._read_areas(index)
        self._keep_visible(index, tuple(areas))
        return areas

    def recall(self, shown: Int32[np.ndarray, " frames"], sets: Sequence[tuple[int, ...]]) -> None:
        """Take over which objects each frame shows, as it was found out before.

        Args:
            shown: Of each frame the place of its objects in `sets`, or `UNKNOWN`.
            sets: Sets of objects, each in order.
        """
        assert len(shown) == self.num_frames
        self._shown, self._sets = shown, list(sets)

    @property
    def declared_ids(self) -> tuple[int, ...]:
        """Objects that the annotations name, visible or not; none where only pixels name them."""
        return ()

    def annotation_sources(self) -> Iterable[str]:
        """Return the files that the annotations are read from, and settings that they depend on.

        Nothing where it is not known: what was found out is then not kept for later runs.
        """
        return ()

    def annotation_files(self) -> Iterable[str]:
        """Return the files that the annotations are read from."""
        return self.annotation_sources()

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

    def _read_areas(self, index: int) -> dict[int, int]:
        """Return the number of pixels of each object that is visible on a labelled frame."""
        ids = self._read_visible(index)
        masks = self._read_masks(index, ids)
        return dict(zip(ids, (masks == OBJECT).flatten(1).sum(1).tolist(), strict=True))

    def _keep_visible(self, index: int, object_ids: tuple[int, ...]) -> None:
        if not self._shown.flags.writeable:
            self._shown = self._shown.copy()
            if self.when_it_learns is not None:
                self.when_it_learns(self)
                self.when_it_learns = None
        if object_ids not in self._sets:
            self._sets.append(object_ids)
        self._shown[index] = self._sets.index(object_ids)

    def _read_size(self) -> tuple[int, int]:
        return self.frames.size
