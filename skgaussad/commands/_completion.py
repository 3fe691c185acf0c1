"""``skgaussad completion``: completion by the shell."""

from .._utils.optional import check_packages
from ._arguments import add_command

_EXAMPLES = """
  skgaussad completion bash > ~/.local/share/bash-completion/completions/skgaussad
  skgaussad completion zsh > ~/.zfunc/_skgaussad
  skgaussad completion fish > ~/.config/fish/completions/skgaussad.fish
"""
# Kinds of arguments, by their names in the help.
_FILES = {"FILE", "IMAGES", "MODEL", "PNG"}
_FOLDERS = {"DIR"}


def add_parser(commands):
    """Add the command to those of the command line."""
    parser = add_command(
        commands,
        "completion",
        run,
        summary="print a script for completion by the shell",
        description="Print a script with which a shell completes commands, options and "
        "files at the Tab key.",
        examples=_EXAMPLES,
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))


def run(arguments):
    """Run the command."""
    check_packages("completion", "completion", "shtab")
    import shtab

    parser = arguments.parser
    for action in _actions_of(parser):
        if action.metavar in _FILES:
            action.complete = shtab.FILE
        elif action.metavar in _FOLDERS:
            action.complete = shtab.DIRECTORY
    print(shtab.complete(parser, shell=arguments.shell))


def _actions_of(parser):
    """Yield the arguments of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action.choices, dict):
            for command in action.choices.values():
                yield from _actions_of(command)
