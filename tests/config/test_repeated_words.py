"""Words for keys that other words set already."""

from rlrun.config.repeated_words import changed, refuse_repeated


def test_changed_words_stand_in_the_place_of_those_for_their_keys() -> None:
    words = changed(["algo=dqn", "+a.b=1", "a.c=2"], "a.c=3", "d=x=y", "a.b=4", "a.c=5")
    assert words == ["algo=dqn", "a.b=4", "a.c=5", "d=x=y"]
    refuse_repeated(words)
