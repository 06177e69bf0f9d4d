"""``python -m fada``: the same as the command ``fada``."""

from fada.cli.app import main

if __name__ == "__main__":
    main()
