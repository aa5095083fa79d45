"""`python -m sidechain.agents` is the command line `sidechain`."""

from sidechain.agents.cli import main

if __name__ == "__main__":
    main()
