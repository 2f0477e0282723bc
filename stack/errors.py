"""What can go wrong with the stack, each in a message of its own that says what to do."""


class StackError(Exception):
    """Anything that keeps the stack from being built, started or stopped."""


class PortInUseError(StackError):
    """Somebody else listens on a port that a program of the stack needs."""


class ExposedError(StackError):
    """A Collector would listen beyond this host without asking for certificates and a token."""


class NotReadyError(StackError):
    """A program ended, or did not answer that it is ready in time."""
