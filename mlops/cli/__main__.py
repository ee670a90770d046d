"""`python -m mlops.cli` is `efficientai-toolkit`."""

from mlops.cli.main import main

main()
