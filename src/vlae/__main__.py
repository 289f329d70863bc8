"""`python -m vlae` is the command `vlae`."""

from vlae.cli.main import main

if __name__ == "__main__":
    main()
