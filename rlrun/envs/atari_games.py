"""The bundled games."""

from __future__ import annotations

from importlib.resources import files

from rlrun.errors import UserError, nearest

# The emulator ends the whole process when it loads one of these (ale-py 0.12.1), so they are refused before.
UNLOADABLE = frozenset({"combat", "joust", "maze_craze", "warlords"})


def bundled_games() -> list[str]:
    """The names of the games that come with ale-py and can be played, in alphabetical order."""
    roms = files("ale_py") / "roms"
    names = {entry.name.removesuffix(".bin") for entry in roms.iterdir() if entry.name.endswith(".bin")}
    return sorted(names - UNLOADABLE)


def require_game(game: str) -> None:
    """Refuses a game that does not exist or cannot be played.

    Raises:
        UserError: naming the nearest games.
    """
    if game in UNLOADABLE:
        raise UserError(
            f"env.game={game} cannot be played: the emulator stops the whole program when it loads it "
            f"(so do {', '.join(sorted(UNLOADABLE - {game}))})"
        )
    games = bundled_games()
    if game not in games:
        raise UserError(f"env.game={game} is not a bundled game; nearest: {', '.join(nearest(game, games))}")


def action_names(game: str, *, every: bool) -> tuple[str, ...]:
    """What ALE calls the actions of a game, in lower case: its own, or `every` one of the console."""
    from ale_py import ALEInterface, LoggerMode, roms

    ALEInterface.setLoggerMode(LoggerMode.Error)
    emulator = ALEInterface()
    rom = roms.get_rom_path(game)
    assert rom is not None  # `require_game` has seen it
    emulator.loadROM(rom)
    actions = emulator.getLegalActionSet() if every else emulator.getMinimalActionSet()
    return tuple(action.name.lower() for action in actions)
