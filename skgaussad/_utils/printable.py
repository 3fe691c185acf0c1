"""Texts of others on the user's terminal."""


def printable(text):
    """Escape the characters of a text that a terminal may act on, not show."""
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape").decode()
        for character in text
    )
