"""`python -m rlrun` is `rlrun`."""

from rlrun.cli.main import main

if __name__ == "__main__":
    main()
