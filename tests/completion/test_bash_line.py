from __future__ import annotations

import pytest

from rlrun.cli.completion.bash_line import Line, read_line, replies
from rlrun.cli.completion.candidate import Candidate

BREAKS = " \t\n\"'@><=;|&(:"  # bash's own


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rlrun ", Line([""], "", "")),
        ("rlrun al", Line(["al"], "", "")),
        ("rlrun algo=", Line(["algo="], "algo=", "")),
        ("rlrun algo=dqn,re", Line(["algo=dqn,re"], "algo=", "")),
        ("rlrun  algo=dqn   env=po", Line(["algo=dqn", "env=po"], "env=", "")),
        ("rlrun optimizer@algo.optimizer=a", Line(["optimizer@algo.optimizer=a"], "optimizer@algo.optimizer=", "")),
        ("rlrun env.map=C:x", Line(["env.map=C:x"], "env.map=C:", "")),
        (r"rlrun env.map=my\ ma", Line(["env.map=my ma"], "env.map=", "")),
        ('rlrun "env.map=my ma', Line(["env.map=my ma"], "", '"')),
        ("rlrun env.map='my ma", Line(["env.map=my ma"], "env.map=", "'")),
        ("rlrun 'a b' c", Line(["a b", "c"], "", "")),
        (r'rlrun "a\"b\x', Line([r'a"b\x'], "", '"')),
        ("rlrun '' x", Line(["", "x"], "", "")),
        ("rlrun x ", Line(["x", ""], "", "")),
        ("A=1 B=x=y rlrun al", Line(["al"], "", "")),
        ("scripts/rlrun al", Line(["al"], "", "")),
        ("", Line([""], "", "")),
    ],
)
def test_a_line_has_these_words(line: str, expected: Line) -> None:
    assert read_line(line, BREAKS) == expected


def test_without_breaks_bash_wants_the_whole_word() -> None:
    assert read_line("rlrun algo=dqn,re", " \t\n") == Line(["algo=dqn,re"], "", "")
    assert read_line("rlrun algo=dqn,re", " \t\n,=") == Line(["algo=dqn,re"], "algo=dqn,", "")


def test_answers_are_cut_where_bash_cuts_and_end_where_the_word_does() -> None:
    line = read_line("rlrun algo=d", BREAKS)
    assert replies([Candidate("algo=dqn")], line) == ["dqn "]
    assert replies([Candidate("algo=dqn"), Candidate("algo=dummy")], line) == ["dqn", "dummy"]
    assert replies([Candidate("algo.optimizer.", "", False)], read_line("rlrun algo.o", BREAKS)) == ["algo.optimizer."]


@pytest.mark.parametrize(
    ("line", "text", "expected"),
    [
        ("rlrun show a", "a b/c$(d)", r"a\ b/c\$\(d\) "),
        ("rlrun show 'a", "a b$c'd", r"a b$c'\''d"),
        ('rlrun show "a', 'a b$c"d`', r"a b\$c\"d\`"),
        ("rlrun show ~/a", "~/a b", r"~/a\ b "),
        ("rlrun show a", "a~b", r"a\~b "),
        ("rlrun show ä", "ärger", "ärger "),
    ],
)
def test_answers_are_quoted_as_the_line_needs(line: str, text: str, expected: str) -> None:
    assert replies([Candidate(text)], read_line(line, BREAKS)) == [expected]
