"""The error of a wrong input."""


class UserError(ValueError):
    """What the user gave cannot work; the message names it and says what would.

    The command line prints it as one line. Any other exception is a defect and keeps its traceback.
    """
