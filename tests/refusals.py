"""What a refusal names: keys and values instead of whole sentences."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rlrun.errors import UserError, WrongKeyError


def refusal(act: Callable[[], object], *named: str) -> UserError:
    """The error that `act` ends with: one line that has all of `named` in it, and details that fit a screen."""
    with pytest.raises(UserError) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message
    assert [each for each in named if each not in message] == [], message
    assert all(len(line) < 120 for line in caught.value.details)
    return caught.value


def wrong_key(act: Callable[[], object], key: str, *named: str) -> WrongKeyError:
    """The same, of an error that is about `key`."""
    error = refusal(act, key, *named)
    assert isinstance(error, WrongKeyError)
    assert error.key == key
    return error
