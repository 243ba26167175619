"""Video files that are something else."""

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
