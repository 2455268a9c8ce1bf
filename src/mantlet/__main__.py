"""`python -m mantlet`."""

from mantlet.cli import main

if __name__ == "__main__":
    main()
