"""`python -m shop.workers --help`."""

import asyncio
import logging
import os
import sys

from shop.workers.settings import parse
from shop.workers.worker import run


def main() -> None:
    """Exits 0 after a stop that was asked for; an error's traceback and 1 otherwise."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(run(parse(sys.argv[1:])))
    logging.shutdown()
    os._exit(0)  # the core's threads may hang at the interpreter's end


if __name__ == "__main__":
    main()
