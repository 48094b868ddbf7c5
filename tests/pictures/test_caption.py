import numpy as np

from rlrun.pictures.caption import captioned

PICTURE = np.full((50, 400, 3), (10, 200, 30), np.uint8)


def test_the_picture_stays_as_it_is_and_the_words_stand_under_it() -> None:
    sheet = captioned(PICTURE, [["episode 1", "step 2"], ["action 0", ""]])
    assert sheet.shape == (50 + 2 * 20 + 10, 400, 3)
    assert np.array_equal(sheet[:50], PICTURE)
    ink = sheet[50:].max(axis=-1) < 128
    assert ink[:20, :200].any()
    assert ink[:20, 200:].any()
    assert ink[22:, :200].any()
    assert not ink[25:, 200:].any()  # there is no fourth word


def test_columns_do_not_move_when_words_change() -> None:
    left = captioned(PICTURE, [["step 1", "reward -1"]])
    right = captioned(PICTURE, [["step 999 of 1,000", "reward -1"]])
    assert np.array_equal(left[:, 195:], right[:, 195:])
    assert not np.array_equal(left, right)


def test_a_narrow_picture_stands_in_the_middle_and_long_words_are_cut() -> None:
    sheet = captioned(PICTURE[:, :100], [["word " * 40, "end"]])
    assert sheet.shape[1] == 336
    assert (sheet[:50, :118] == 255).all()
    assert np.array_equal(sheet[:50, 118:218], PICTURE[:, :100])
    assert np.array_equal(sheet[:, 173:], captioned(PICTURE[:, :100], [["", "end"]])[:, 173:])
