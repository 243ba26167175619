"""Videos in one block of memory, of which a process makes anew the one that it looks at.

Looking at a Python object counts a reference, which is a write: a forked process then owns a copy
of the page around it, and of ten thousand videos soon of all pages. The block is never written to.
"""

import pickle
from array import array
from collections.abc import Sequence
from functools import partial
from typing import overload

import numpy as np

from sam2_video.data.source import ImageFiles
from sam2_video.data.video import Video

_ALIGNMENT = 8
"""Bytes: numbers of this length begin where a processor reads them at once."""


class Shelf(Sequence[Video]):
    """Videos that loading processes share; each look at a place gives another equal object.

    A process keeps for itself what it finds out by reading annotations, where that was not known.
    Video files and stacks, which find out more than that when they are opened, stay as they are.
    """

    def __init__(self, videos: Sequence[Video]) -> None:
        self._kept = {
            place: video
            for place, video in enumerate(videos)
            if not isinstance(video.frames, ImageFiles)
        }
        # the block grows by each piece: pieces that are kept till the end would take as much again
        content, firsts, starts, lengths = bytearray(), array("q", [0]), array("q"), array("q")
        for place, video in enumerate(videos):
            for piece in _take_apart(video) if place not in self._kept else ():
                starts.append(len(content))
                lengths.append(piece.nbytes)
                content += piece
                content += bytes(-len(content) % _ALIGNMENT)
            firsts.append(len(starts))
        self._content = np.frombuffer(content, dtype=np.uint8)
        self._firsts, self._starts, self._lengths = map(np.asarray, (firsts, starts, lengths))

    def __len__(self) -> int:
        return len(self._firsts) - 1

    @overload
    def __getitem__(self, index: int) -> Video: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Video]: ...
    def __getitem__(self, index: int | slice) -> Video | Sequence[Video]:
        """Return the video at a place, or those of a slice."""
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        place = range(len(self))[index]
        if place in self._kept:
            return self._kept[place]
        content = self._content.data.toreadonly()
        first, last = self._firsts[place : place + 2].tolist()
        starts, lengths = self._starts[first:last].tolist(), self._lengths[first:last].tolist()
        pieces = [content[s : s + n] for s, n in zip(starts, lengths, strict=True)]
        video: Video = pickle.loads(pieces[0], buffers=pieces[1:])  # of this process' own making
        video.when_it_learns = partial(self._kept.__setitem__, place)
        return video


def _take_apart(video: Video) -> list[memoryview]:
    """Return what makes a video, and the arrays that it holds."""
    _ = video.labelled_frames  # known without reading, and kept with the rest
    arrays: list[pickle.PickleBuffer] = []
    whole = pickle.dumps(video, protocol=5, buffer_callback=arrays.append)
    return [memoryview(whole), *(array.raw() for array in arrays)]
