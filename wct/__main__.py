"""The command, `wct` or `python -m wct`: signals are obeyed before anything large is imported."""

from ._signals import ending_at_once, obey_signals


def main() -> None:
    """Run the command."""
    obey_signals()
    with ending_at_once():
        from ._cli import main as command

        command(prog_name="wct")


if __name__ == "__main__":
    main()
