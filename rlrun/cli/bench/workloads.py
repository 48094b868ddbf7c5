"""Two workloads as overrides of `rlrun`, with hyperparameters that others use too: what `rlrun bench` times.

The numbers are rl-zoo3's (`hyperparams/dqn.yml` and `a2c.yml`), and where it has none stable-baselines3's defaults.
`benchmarks/speed` runs the same ones beside stable-baselines3.
"""

from __future__ import annotations

DQN_PONG = (
    "algo=dqn",
    "env=pong",
    "preset=null",
    "network=nature2015",
    "env.num_envs=1",
    "algo.optimizer.learning_rate=1e-4",  # rl-zoo3
    "algo.optimizer.eps=1e-8",  # torch's Adam
    "algo.gamma=0.99",  # stable-baselines3
    "algo.replay.batch_size=32",  # rl-zoo3
    "algo.replay.ratio=8",  # rl-zoo3: one update of 32 every 4 steps
    "algo.rollout_steps=4",  # rl-zoo3 (train_freq)
    "algo.replay.capacity_steps=100000",  # rl-zoo3
    "algo.target.period_steps=1000",  # rl-zoo3
    "algo.n_step=1",
    "algo.target.double=false",
    "algo.dueling=false",
    "algo.loss=huber",
    "algo.huber_delta=1",  # stable-baselines3
    "algo.reward_clip=1",  # its Atari wrapper
    "algo.max_grad_norm=10",  # stable-baselines3
    "algo.exploration.epsilon.start=1",  # stable-baselines3
    "algo.exploration.epsilon.end=0.01",  # rl-zoo3
)

# Policy and value have networks of their own, two layers of 64 each.
ACTOR_CRITIC_CARTPOLE = (
    "algo=actor_critic",
    "env=cartpole",
    "preset=null",
    "network=mlp",
    "algo.network.hidden=[64,64]",  # stable-baselines3
    "algo.network.activation=tanh",  # stable-baselines3
    "optimizer@algo.optimizer=rmsprop",  # stable-baselines3
    "algo.optimizer.learning_rate=7e-4",  # stable-baselines3
    "algo.optimizer.decay=0.99",  # stable-baselines3
    "algo.optimizer.eps=1e-5",  # stable-baselines3
    "algo.optimizer.initial_square=0",  # torch's RMSprop
    "algo.advantage.estimator=n_step",  # stable-baselines3 (gae_lambda 1)
    "algo.advantage.rollout_steps=5",  # stable-baselines3
    "algo.gamma=0.99",  # stable-baselines3
    "algo.value.shared=false",
    "algo.value.updates=1",
    "algo.advantage.normalize=false",
    "algo.value.coefficient=1",  # stable-baselines3: 0.5 of the whole squared error; ours is halved already
    "algo.entropy_bonus=0",  # rl-zoo3
    "algo.max_grad_norm=0.5",  # stable-baselines3
    "algo.reward_clip=null",
)
