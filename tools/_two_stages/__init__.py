"""What tools/train_two_stages.py is made of."""


class UserError(ValueError):
    """What the user gave cannot work; the message says what would."""
