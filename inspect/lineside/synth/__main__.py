"""``python -m lineside.synth DIR``: write the sample data again, byte for byte."""

from __future__ import annotations

import sys
from pathlib import Path

from lineside.errors import LinesideError
from lineside.synth.dataset import write_sample_data


def main(arguments: list[str]) -> int:
    """Write the sample data into the one folder that is named; return the exit code."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m lineside.synth DIR", file=sys.stderr)
        return 2
    try:
        count = write_sample_data(Path(arguments[0]))
    except LinesideError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{count} files in {arguments[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
