"""Classes of a dataset: the value and the name of each, and the name that means none of them."""

from blockface.errors import InputError

BACKGROUND = "background"  # named so, a value of label maps is no class


def object_classes(classes: dict) -> dict:
    """The ``classes``, {value: name}, without the background."""
    return {v: name for v, name in classes.items() if str(name).lower() != BACKGROUND}


def background_value(classes: dict) -> int:
    """Value that label maps give the background: 0, unless ``classes`` say otherwise."""
    named = [int(v) for v, name in classes.items() if str(name).lower() == BACKGROUND]
    return named[0] if named else 0


def class_table(classes: dict) -> dict[int, str]:
    """Classes as {value: name}, from a mapping whose keys may be text, as in JSON.

    Raises
    ------
    InputError
        A value outside 1 … 254, a name used twice, or no class beside the background.
    """
    table = {int(value): str(name) for value, name in classes.items()}
    wrong = [v for v in table if not 1 <= v <= 254]
    names = [n.lower() for n in table.values()]
    if wrong or len(set(names)) < len(names) or not object_classes(table):
        raise InputError(
            f"classes: found {table}; expected values from 1 to 254, each with a name of its own, "
            "as in {1: fibril, 2: cell}"
        )
    return dict(sorted(table.items()))
