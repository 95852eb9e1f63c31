"""The one kind of error that users see."""


class UserError(Exception):
    """A mistake that its author can mend: shown as one line, never as a traceback."""
