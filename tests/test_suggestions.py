from rlrun.suggestions import closest, likeness

KEYS = ["algo", "algo.gamma", "algo.optimizer", "algo.optimizer.learning_rate", "algo.optimizer.eps", "algo.epsilon"]
KEYS += ["algo.learning_starts_steps", "env", "env.num_envs", "evaluation", "evaluation.num_envs", "seed"]


def test_a_misspelt_name_is_found_beside_it() -> None:
    assert closest("algo.gama", KEYS)[0] == "algo.gamma"
    assert closest("algo.optimizer.learnin_rate", KEYS)[0] == "algo.optimizer.learning_rate"
    assert closest("sede", KEYS)[0] == "seed"


def test_a_misspelt_section_keeps_the_rest() -> None:
    assert closest("algo.optimiser.eps", KEYS)[0] == "algo.optimizer.eps"
    assert closest("agent.gamma", KEYS)[0] == "algo.gamma"


def test_a_right_name_in_the_wrong_place_is_found() -> None:
    assert closest("gamma", KEYS)[0] == "algo.gamma"
    assert closest("algo.learning_rate", KEYS)[0] == "algo.optimizer.learning_rate"
    assert set(closest("algo.num_envs", KEYS)) >= {"env.num_envs", "evaluation.num_envs"}


def test_abbreviations_are_understood() -> None:
    assert closest("algo.optimizer.lr", KEYS)[0] == "algo.optimizer.learning_rate"
    assert closest("lr", KEYS)[0] == "algo.optimizer.learning_rate"
    assert likeness("eval", "evaluation") >= 0.8


def test_something_is_always_suggested() -> None:
    assert len(closest("algo.zzz", KEYS)) == 3
    assert closest("anything", []) == []
