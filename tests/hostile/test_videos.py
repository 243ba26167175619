"""Video files that are something else, or say of themselves what is not so."""

import io

import av
import numpy as np
import pytest

from sam2_video.data.video_file import VideoFile


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.ts"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
        for packet in (*stream.encode(frame), *stream.encode()):
            file.mux(packet)
    assert len(VideoFile(path)) == 1
    return path


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile secret.ts\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/secret.ts\n",
    ],
)
def test_a_list_of_other_files_is_no_video(secret, text):
    path = secret.with_name("v.mp4")
    path.write_text(text)
    with pytest.raises(ValueError, match=r"v\.mp4: cannot be read as a video"):
        VideoFile(path)


def movie(container, codec, pixels):
    """Return a video of 4 frames, each lighter than the one before."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        stream = file.add_stream(codec, rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = pixels
        for number in range(4):
            picture = np.full((32, 32, 3), 50 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            for packet in stream.encode(frame):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)
    return buffer.getvalue()


@pytest.fixture
def avi():
    return bytearray(movie("avi", "mjpeg", "yuvj420p"))


def test_a_title_in_another_script_is_no_hindrance(tmp_path):
    content = movie("mp4", "mpeg4", "yuv420p")
    assert b"VideoHandler" in content
    path = tmp_path / "v.mp4"
    path.write_bytes(content.replace(b"VideoHandler", b"\xd2ideoHandler"))
    assert len(VideoFile(path)) == 4


def test_a_codec_that_is_not_known_is_told(tmp_path, avi):
    path = tmp_path / "v.avi"
    path.write_bytes(avi.replace(b"MJPG", b"ZZZZ"))
    with pytest.raises(
        ValueError, match=r"v\.avi: its pictures are of a codec that FFmpeg does not"
    ):
        VideoFile(path)


def test_frames_that_a_wrong_index_does_not_lead_to_are_found_from_the_start(tmp_path, avi):
    # the first picture belongs to a stream that there is not, the index leads to no other
    avi[avi.index(b"movi") + 5] = ord("1")
    avi[avi.index(b"idx1") + 49] = ord("P")
    path = tmp_path / "v.avi"
    path.write_bytes(avi)
    video = VideoFile(path)
    shades = [int(video[index].float().mean()) for index in (2, 0, 1)]
    assert shades == pytest.approx([150, 50, 100], abs=4)
