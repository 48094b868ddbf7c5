from rlrun.config.suggestions import closest, foreign_letters, likeness

KEYS = ["algo", "algo.gamma", "algo.optimizer", "algo.optimizer.learning_rate", "algo.optimizer.eps", "algo.epsilon"]
KEYS += ["algo.replay.learning_starts_steps", "env", "env.num_envs", "evaluation", "evaluation.num_envs", "seed"]


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


def test_words_that_people_bring_from_elsewhere_are_understood() -> None:
    groups = ["algo", "env", "network", "experiment", "device", "debug", "evaluation", "name", "env.num_envs"]
    for word, meant in {"agent": "algo", "agents": "algo", "enviroment": "env", "model": "network"}.items():
        assert closest(word, groups)[0] == meant
    assert closest("environment.num_envs", groups)[0] == "env.num_envs"
    assert closest("evaluatoin", groups)[0] == "evaluation"


def test_letters_of_another_alphabet_are_named() -> None:
    assert foreign_letters("algo.gamma") == ""
    assert "\u043e is CYRILLIC SMALL LETTER O" in foreign_letters("alg\u043e")
    assert "\u03b5 is GREEK SMALL LETTER EPSILON" in foreign_letters("algo.\u03b5")
