import json
import subprocess
import sys

from rlrun.cli.completion.names import _CONTINUOUS, _FAMILIES, games, gymnasium_ids
from rlrun.cli.completion.parameters import parameters
from rlrun.envs.atari_games import bundled_games
from rlrun.envs.grid_map import bundled_maps
from rlrun.envs.mdp_file import bundled_mdps

# In a process of its own: Box2D warns while it is imported, which does not go well where warnings are errors.
_ACTION_SPACES = """
import gymnasium, json, sys
found = {}
for name, spec in list(gymnasium.registry.items()):
    if str(spec.entry_point).startswith(tuple("gymnasium.envs." + family for family in sys.argv[1:])):
        env = gymnasium.make(name)
        found[name] = type(env.action_space).__name__
        env.close()
print(json.dumps(found))
"""


def test_names_are_those_that_the_environments_take() -> None:
    assert games() == bundled_games()
    assert list(parameters("rlrun.envs.gridworld.GridWorld")["map"].choices) == bundled_maps()
    assert list(parameters("rlrun.envs.mdp_file.MdpEnv")["mdp"].choices) == bundled_mdps()
    assert parameters("rlrun.agents.tables.td.TD")["policy"].choices == ("uniform",)


def test_the_ids_offered_are_all_that_have_discrete_actions() -> None:
    command = [sys.executable, "-W", "ignore", "-c", _ACTION_SPACES, *_FAMILIES]
    spaces = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    discrete = {name for name, space in spaces.items() if space == "Discrete"}
    assert set(gymnasium_ids()) == discrete - {"CartPole-v0"}  # Gymnasium itself calls it out of date
    assert set(spaces) - discrete == _CONTINUOUS
