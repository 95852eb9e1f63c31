"""The one kind of error that users see."""


def reason(error: BaseException) -> str:
    """Say in one line what another library's error says, or at least what kind it is."""
    return " ".join(str(error).split()) or type(error).__name__


class UserError(Exception):
    """A mistake that its author can mend: shown as one line, never as a traceback."""
