"""What annotations leave uncovered, really left out: lengths, gaps, repeats, visibility."""

import shutil

from tests.data.check.conftest import NUM_FRAMES, found, write_mask


def test_an_object_that_is_named_and_never_seen_is_a_warning(data, check):
    folder = data / "Annotations" / "b"
    for index in range(NUM_FRAMES):
        label = folder / f"{index}.png"
        label.unlink()
        write_mask(folder / "1" / label.name, (4, 4, 10, 10))
        write_mask(folder / "7" / label.name)
    for name in "acd":
        shutil.rmtree(data / "JPEGImages" / name)
    report = check(data, val_fraction=0.0)
    assert found(report) == [("warning", "object never visible", "b", None, 7)]


def test_a_short_video_and_one_that_teaches_no_tracking_are_told(data, check):
    for index in range(2, NUM_FRAMES):
        (data / "JPEGImages" / "a" / f"{index}.jpg").unlink()
        (data / "Annotations" / "a" / f"{index}.png").unlink()
    for index in range(1, NUM_FRAMES - 1):
        (data / "Annotations" / "b" / f"{index}.png").unlink()
    assert found(check(data)) == [
        ("warning", "video that teaches no tracking", "b", None, None),
        ("hint", "video shorter than a clip", "a", None, None),
    ]
    assert [one[1] for one in found(check(data, frame_stride=[1, 7]))] == [
        "video shorter than a clip"
    ]


def test_a_gap_over_which_no_clip_reaches_is_a_hint(data, check):
    for index in range(2, 6):
        (data / "Annotations" / "a" / f"{index}.png").unlink()
    report = check(data, frame_stride=[1, 1])
    assert found(report) == [("hint", "gap between labelled frames", "a", "1", None)]
    assert "4 frames in a row have no label" in report.findings[0].message
    assert [video.longest_gap for video in report.sets[0].videos] == [4, 0, 0, 0]
    assert found(check(data, frame_stride=[1, 2])) == []


def test_frames_that_are_missing_between_others_are_a_hint(data, check):
    for level, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
        path = data / level / "a" / f"7.{suffix}"
        path.rename(path.with_name(f"10.{suffix}"))
    report = check(data)
    assert found(report) == [("hint", "gap in frame numbers", "a", "6", None)]
    assert report.findings[0].message.startswith("3 frames are missing in 1 places")


def test_an_object_that_is_seen_once_is_a_hint(data, check):
    write_mask(data / "Annotations" / "a" / "3.png", (4, 4, 9, 9), (30, 30, 9, 9), (16, 40, 9, 9))
    report = check(data)
    assert found(report) == [("hint", "object visible on one frame only", "a", "3", 3)]
    assert "1 of 8 labelled frames" in report.findings[0].message


def test_returns_and_absences_are_counted(data, check):
    for index in (2, 3, 5):
        write_mask(data / "Annotations" / "a" / f"{index}.png", (4, 4 + index, 16, 20))
    objects = check(data).sets[0].videos[0].objects
    assert [(one.visible, one.returns, one.longest_absence) for one in objects] == [
        (8, 0, 0),
        (5, 2, 2),
    ]


def test_copies_of_a_frame_are_told_with_the_frame_they_copy(data, check):
    frames = data / "JPEGImages" / "c"
    shutil.copyfile(frames / "2.jpg", frames / "5.jpg")
    report = check(data)
    assert found(report) == [("warning", "duplicate frames", "c", "5", None)]
    assert "1 of 8 frames" in report.findings[0].message
    assert report.findings[0].message.endswith("as frame 2")
