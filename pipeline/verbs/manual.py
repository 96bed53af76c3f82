"""The manual page, made from the parser: what `stampmill --help` says, for man(1)."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any, Final

from pipeline.errors import ExitCode

_STATUS: Final = {
    ExitCode.OK: "All is well.",
    ExitCode.FAILURE: "The command itself failed; one sentence on stderr says why.",
    ExitCode.USAGE: "It was called wrongly.",
    ExitCode.PARTIAL: "It ran, but a job failed or something was rejected.",
    ExitCode.LOGIN_NEEDED: "Telegram wants a login first.",
    ExitCode.CONFIG_INVALID: "The configuration can't be used.",
    ExitCode.UNREACHABLE: "No daemon answers.",
    ExitCode.INTERRUPTED: "It was interrupted.",
}
_FILES: Final = (
    ("/etc/stampmill/config.toml, ~/.config/stampmill/config.toml", "The configuration."),
    ("/var/lib/stampmill", "State, library and inbox of the system's service, unless configured otherwise."),
)
_ENVIRONMENT: Final = (
    ("STAMPMILL_CONFIG", "Names the configuration file, as --config does."),
    ("NO_COLOR", "Where it is set, nothing is coloured."),
)


def page(root: Any, version: str) -> str:
    """The page in man(7)'s macros. ROOT is the parser: a typer group."""
    lines = [
        f'.TH STAMPMILL 1 "" "stampmill {version}" "User Commands"',
        ".SH NAME",
        f"stampmill \\- {_text(_lower(root.help).rstrip('.'))}",
        ".SH SYNOPSIS",
        ".B stampmill",
        "COMMAND [OPTION...] [ARGUMENT...]",
        ".SH COMMANDS",
        *_commands(root, ()),
        ".SH EXIT STATUS",
        *_terms((str(int(code)), words) for code, words in _STATUS.items()),
        ".SH ENVIRONMENT",
        *_terms(_ENVIRONMENT),
        ".SH FILES",
        *_terms(_FILES),
    ]
    return "\n".join(lines) + "\n"


def _commands(group: Any, above: tuple[str, ...]) -> Iterator[str]:
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from _commands(command, (*above, name))
        elif not command.hidden:
            yield from _command(command, (*above, name))


def _command(command: Any, names: tuple[str, ...]) -> Iterator[str]:
    arguments = " ".join(_argument(one) for one in command.params if one.param_type_name == "argument")
    yield f'.SS "{_text(" ".join((*names, arguments)).strip())}"'
    for number, paragraph in enumerate((command.help or "").split("\n\n")):
        if number:
            yield ".PP"
        yield from _paragraph(" ".join(paragraph.split()))
    options = [one for one in command.params if one.param_type_name == "option" and one.help]
    yield from _terms((_option(one), _option_help(one)) for one in options)


def _argument(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    return name if parameter.required else f"[{name}]"


def _option(parameter: Any) -> str:
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    return names if parameter.is_flag else f"{names} {parameter.metavar or 'VALUE'}"


def _option_help(parameter: Any) -> str:
    if parameter.is_flag or parameter.default is None:
        return str(parameter.help)
    return f"{parameter.help} By itself: {parameter.default}."


def _terms(pairs: Any) -> Iterator[str]:
    for term, words in pairs:
        yield ".TP"
        yield f'.B "{_text(term)}"'
        yield from _paragraph(words)


def _paragraph(words: str) -> Iterator[str]:
    for line in textwrap.wrap(words, 110, break_on_hyphens=False, break_long_words=False):
        yield f"\\&{_text(line)}" if line.startswith((".", "'")) else _text(line)


def _text(words: str) -> str:
    return words.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")


def _lower(words: str) -> str:
    return words[:1].lower() + words[1:]
