"""Which objects and frames each protocol counts."""

import pytest

from sam2_video import score

A, B, MOVED = (1, 2), (2, 20), (2, 22)
# B moved by 2 of 5 columns: 3 of 7 columns are shared
J_MOVED = 3 / 7


def objects_of(report, video="one"):
    return report.as_dict()["videos"][video]["objects"]


def test_first_and_last_annotated_frames_do_not_count_unless_asked(truth, predictions):
    truth.video("one", [(A,)] * 4)
    predictions.video("one", [(), (A,), (A,), ()])
    assert score(truth.root, predictions.root).overall.jf == 1.0
    report = score(truth.root, predictions.root, count_first_and_last=True)
    assert (report.overall.jf, report.overall.num_frames) == (0.5, 4)
    assert report.first_and_last_count


def test_frames_that_do_not_count_need_no_prediction(truth, predictions):
    truth.video("one", [(A,)] * 4)
    predictions.video("one", [(A,)] * 3)
    (predictions.root / "one" / "0.png").unlink()
    report = score(truth.root, predictions.root)
    assert (report.left_out, report.overall.jf) == ((), 1.0)


def test_sparse_truth_says_which_frames_are_annotated(truth, predictions):
    truth.video("one", [(A, B)] * 12)
    for index in (1, 2, 4, 5, 6, 7, 8):
        (truth.root / "one" / f"{index}.png").unlink()
    predictions.video("one", [()] * 3 + [(A, MOVED)] + [()] * 6 + [(A, B)] + [()])
    # in natural order 0, 3, 9, 10, 11 are annotated
    objects = objects_of(score(truth.root, predictions.root))
    assert objects["1"]["num_frames"] == 3
    assert objects["2"]["J"] == pytest.approx((J_MOVED + 0 + 1) / 3)


def test_vos_counts_a_late_object_from_its_first_frame_and_a_ghost_from_its_own(truth, predictions):
    truth.video("one", [(A,), (A,), (A,), (A, B), (A, B), (A,)])
    predictions.video("one", [(A,), (A,), (A,), (A, B), (A, B), (A,)])
    assert objects_of(score(truth.root, predictions.root))["2"]["num_frames"] == 2
    predictions.video("one", [(A,), (A,), (A, B), (A, B), (A, B), (A,)])
    ghost = objects_of(score(truth.root, predictions.root))["2"]
    assert (ghost["num_frames"], ghost["J"]) == (3, pytest.approx(2 / 3))


def test_vos_ignores_objects_that_the_truth_does_not_have_and_says_so(truth, predictions):
    truth.video("one", [(A, B), (A,), (A,), (A,)])
    predictions.video("one", [(A,), (A, (9, 20)), (A, (3, 20)), (A,)])
    report = score(truth.root, predictions.root)
    assert (report.overall.num_objects, report.overall.jf) == (1, 1.0)
    assert report.notes == (
        "video one: predicted objects that the truth does not show: 3, 9: ignored",
        "video one: objects that are visible on no scored frame: 2: not scored",
    )


def test_davis_refuses_an_object_that_the_first_frame_does_not_have(truth, predictions):
    truth.video("one", [(A,), (A, B), (A, B), (A,)])
    predictions.video("one", [(A,), (A, B), (A, B), (A,)])
    report = score(truth.root, predictions.root, "davis")
    assert report.videos == ()
    assert "predicted objects 2, expected only those of the truth's first frame" in (
        report.left_out[0].reason
    )


def test_davis_counts_all_frames_of_the_objects_up_to_the_highest(truth, predictions):
    truth.video("one", [((3, 2),), ((3, 2),), ((1, 20),), ((3, 2),)])
    predictions.video("one", [(), ((3, 2),), (), ()])
    objects = objects_of(score(truth.root, predictions.root, "davis"))
    # object 2 is nowhere, and rightly predicted nowhere
    assert {name: scores["J"] for name, scores in objects.items()} == {
        "1": 0.5,
        "2": 1.0,
        "3": 1.0,
    }


def test_255_is_background_for_label_maps(truth, predictions):
    truth.video("one", [(A, (255, 10))] * 3)
    predictions.video("one", [(A,)] * 3)
    for protocol in ("vos", "sav", "davis"):
        report = score(truth.root, predictions.root, protocol)
        assert (report.overall.num_objects, report.overall.jf) == (1, 1.0)
    predictions.video("one", [(A, (1, 10))] * 3)
    assert score(truth.root, predictions.root).overall.j == 0.5


def test_unsupervised_finds_the_best_labels_and_ignores_255(truth, predictions):
    truth.video("one", [(A, B, (255, 10))] * 3)
    predictions.video("one", [((9, 2), (4, 22), (4, 10)), ((9, 2), (4, 20)), ((9, 2), (4, 20))])
    report = score(truth.root, predictions.root, "davis-unsupervised")
    objects = objects_of(report)
    assert objects["1"]["JF"] == 1.0
    assert objects["2"]["J"] == pytest.approx((J_MOVED + 2) / 3)
    assert report.first_and_last_count


def test_unsupervised_takes_fewer_proposals_than_objects_and_at_most_20(truth, predictions):
    truth.video("one", [(A, B)] * 3)
    predictions.video("one", [((5, 20),)] * 3)
    objects = objects_of(score(truth.root, predictions.root, "davis-unsupervised"))
    assert [scores["JF"] for scores in objects.values()] == [0.0, 1.0]
    predictions.video("one", [((21, 20),)] * 3)
    report = score(truth.root, predictions.root, "davis-unsupervised")
    assert "predicted objects 21, expected at most the labels 1 to 20" in report.left_out[0].reason


def test_object_folders_have_their_own_annotated_frames(truth, predictions):
    truth.masklets("one", o000=[2, 2, 2, 2], o001=[None, None, 20, 20])
    predictions.masklets("one", o000=[2, 2, 2, 2], o001=[None, 20, 22, 20])
    (truth.root / "one" / "000" / "0.png").unlink()
    report = score(truth.root, predictions.root, "sav")
    objects = objects_of(report)
    assert objects["000"]["num_frames"] == 1
    assert objects["001"]["num_frames"] == 2
    assert objects["001"]["J"] == pytest.approx(J_MOVED / 2)


@pytest.mark.parametrize("protocol", ["vos", "sav", "davis"])
def test_both_layouts_on_either_side_have_the_same_scores(truth, predictions, protocol, tmp_path):
    truth.video("a/one", [(A, B), (A, B), (A,), (A, MOVED), (A, B)])
    truth.masklets("b/one", o1=[2] * 5, o2=[20, 20, None, 22, 20])
    predictions.video("a/one", [(A, B), (A, MOVED), (A,), (A, B), (A, B)])
    predictions.masklets("b/one", o01=[2] * 5, o02=[20, 22, None, 20, 20])
    reports = [
        score(truth.root / side, predictions.root / other, protocol)
        for side in "ab"
        for other in "ab"
    ]
    assert all(report.overall == reports[0].overall for report in reports)
    assert reports[0].overall.num_frames == 6
    assert reports[0].overall.j < 1
    assert reports[0].overall.num_returning_objects == 1


def test_return_is_known_from_a_first_frame_that_does_not_count(truth, predictions):
    truth.video("one", [(A, B), (A,), (A, B), (A, B)])
    predictions.video("one", [(A, B), (A,), (A, MOVED), (A, B)])
    overall = score(truth.root, predictions.root).overall
    assert overall.num_returning_objects == 1
    assert overall.returned_j == pytest.approx(J_MOVED)


def test_several_processes_say_the_same(truth, predictions):
    truth.video("one", [(A, B)] * 5)
    predictions.video("one", [(A, MOVED)] * 5)
    alone = score(truth.root, predictions.root)
    together = score(truth.root, predictions.root, num_processes=2)
    assert together.as_dict() == alone.as_dict()
    assert together.overall.num_frames == 6
    with pytest.raises(ValueError, match="num_processes: got 0"):
        score(truth.root, predictions.root, num_processes=0)
