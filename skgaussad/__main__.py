"""Run the command line as ``python -m skgaussad``."""

from .commands._main import main

if __name__ == "__main__":
    raise SystemExit(main())
