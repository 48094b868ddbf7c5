"""What the end of a sweep says of the runs that failed."""

from collections.abc import Sequence

from rlrun.cli.sweep_outcomes import Outcomes
from rlrun.errors import FaultyEnvironmentError, UserError


def test_a_run_is_named_once_even_where_the_error_begins_with_its_name() -> None:
    overrides: list[Sequence[str]] = [["env=gym", f"env.id={name}-v0"] for name in "ABC"]
    errors = [FaultyEnvironmentError("env.id=A-v0", "step(0) raised"), UserError("env.id=B-v00 is\nunknown")]
    assert Outcomes(begun=overrides, refused=list(zip(overrides, errors, strict=False))).failures() == [
        "2 of 3 failed:",
        "  env.id=A-v0: step(0) raised",
        "  env.id=B-v0: env.id=B-v00 is unknown",
    ]
