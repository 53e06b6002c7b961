"""`python -m wct`: the same as the command `wct`."""

from ._cli import main

main(prog_name="wct")
