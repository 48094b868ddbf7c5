"""What a notebook does with rlrun, cell by cell: compose, look inside, train, and read the curve."""

# %% The words are those of the command line; what it refuses, raises UserError with the same message.
from rlrun import UserError, compose, make, train

config = compose("algo=q_learning env=gridworld env.map=book")
try:
    compose("algo=q_learning env=gridworld algo.gama=0.9")
except UserError as error:
    print(error)

# %% Step by step: nothing is written to disk.
with make(config) as made:
    for progress in made.steps(500):
        for episode_return in progress.episodes.returns:
            print(f"step {progress.step}: return {episode_return:.1f}")
    print(f"evaluated: {made.evaluate().mean:.2f}")

# %% A whole run, kept where the command line keeps it: called again, it is only read.
results = [train(f"algo=q_learning env=gridworld env.map=book total_steps=1000 seed={seed}") for seed in (0, 1)]
for result in results:
    steps, losses = result.curve("loss/td")
    print(f"{result.directory}: {result.evaluation_mean:.2f} at step {result.step}")
    print(f"  loss {losses[0]:.3f} at step {steps[0]}, {losses[-1]:.3f} at step {steps[-1]}")
