"""``python -m mixvel_core``: the command ``mixvel``, where it is not on the PATH."""

from mixvel_core.cli.main import main

if __name__ == "__main__":
    main()
