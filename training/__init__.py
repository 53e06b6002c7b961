"""How the networks of `wct` are made: `python -m training --help`."""
