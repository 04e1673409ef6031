"""The whole story of one model, told through the public commands and the typed client.

Every part is the real one: processes, sockets, models, signatures. What is simulated is called
simulated: the device whose answers differ, and the stolen server, whose disk the demo edits.
"""


def main(argv: list[str] | None = None) -> int:
    """Run `edgekit demo`; importing this package alone costs nothing."""
    from edgekit.demo.story import main as tell

    return tell(argv)
