"""Which way each class is separated; imports nothing heavy, the configuration is checked by it."""

from blockface.errors import InputError

METHODS = ("components", "watershed", "slices")


def ways(method: str | dict[str, str], names: list[str]) -> dict[str, list[str]]:
    """Classes by method, of the classes ``names``; ``method`` is one for all, or one by class.

    Raises
    ------
    InputError
        A method is unknown, a class has none, or there is one for a class that is not there.
    """
    chosen = dict.fromkeys(names, method) if isinstance(method, str) else dict(method)
    for name, how in chosen.items():
        if how not in METHODS:
            raise InputError(f"separate: {how!r} is unknown; expected {', '.join(METHODS)}")
        if name not in names:
            raise InputError(
                f"separate: {name!r} is not a class; expected one of {', '.join(names)}"
            )
    for name in names:
        if name not in chosen:
            raise InputError(f"separate: class {name!r} has no method; expected one for each class")
    return {
        how: [n for n in names if chosen[n] == how] for how in METHODS if how in chosen.values()
    }
