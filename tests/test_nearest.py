from rlrun.errors import likeness, nearest

KEYS = ["algo", "algo.gamma", "algo.optimizer", "algo.optimizer.learning_rate", "algo.optimizer.eps", "algo.epsilon"]
KEYS += ["algo.learning_starts_steps", "env", "env.num_envs", "evaluation", "evaluation.num_envs", "seed"]


def test_a_misspelt_name_is_found_beside_it() -> None:
    assert nearest("algo.gama", KEYS)[0] == "algo.gamma"
    assert nearest("algo.optimizer.learnin_rate", KEYS)[0] == "algo.optimizer.learning_rate"
    assert nearest("sede", KEYS)[0] == "seed"


def test_a_misspelt_section_keeps_the_rest() -> None:
    assert nearest("algo.optimiser.eps", KEYS)[0] == "algo.optimizer.eps"
    assert nearest("agent.gamma", KEYS)[0] == "algo.gamma"


def test_a_right_name_in_the_wrong_place_is_found() -> None:
    assert nearest("gamma", KEYS)[0] == "algo.gamma"
    assert nearest("algo.learning_rate", KEYS)[0] == "algo.optimizer.learning_rate"
    assert set(nearest("algo.num_envs", KEYS)) >= {"env.num_envs", "evaluation.num_envs"}


def test_abbreviations_are_understood() -> None:
    assert nearest("algo.optimizer.lr", KEYS)[0] == "algo.optimizer.learning_rate"
    assert nearest("lr", KEYS)[0] == "algo.optimizer.learning_rate"
    assert likeness("eval", "evaluation") >= 0.8


def test_something_is_always_suggested() -> None:
    assert len(nearest("algo.zzz", KEYS)) == 3
    assert nearest("anything", []) == []
    assert nearest("a.b", ["c"]) == ["c"]


def test_words_that_people_bring_from_elsewhere_are_understood() -> None:
    groups = ["algo", "env", "network", "experiment", "device", "debug", "evaluation", "name", "env.num_envs"]
    for word, meant in {"agent": "algo", "agents": "algo", "enviroment": "env", "model": "network"}.items():
        assert nearest(word, groups)[0] == meant
    assert nearest("environment.num_envs", groups)[0] == "env.num_envs"
    assert nearest("evaluatoin", groups)[0] == "evaluation"
