"""The one exception for what the user can mend."""


class InputError(ValueError):
    """A mistake in the input or the configuration, told in one line.

    The message names the file (or key), what was found, what was expected and what to do next.
    """
