"""`login`: the account that takes the uploads."""

from __future__ import annotations

import getpass
import os
import sys
from typing import Annotated

import msgspec
import typer

from pipeline.errors import ExitCode, StampmillError
from pipeline.verbs.common import ConfigOption, JsonOption, load, out, print_json, safe
from pipeline.verbs.service import hand_over


class NoTerminal(StampmillError):
    """A login asks questions, and there is no terminal to ask them on. Run `stampmill login` on one. (A bot's login
    asks none: set telegram.bot_token_file.)"""

    exit_code = ExitCode.LOGIN_NEEDED


class LoggedIn(msgspec.Struct, frozen=True, kw_only=True):
    """Who is logged in, as `login --json` prints it."""

    id: int
    name: str
    username: str | None
    bot: bool
    new: bool


class _Terminal:
    """Asks and shows on stderr, so that stdout is left to data."""

    coloured = sys.stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"

    def say(self, words: str) -> None:
        sys.stderr.write(f"{words}\n")
        sys.stderr.flush()

    def ask(self, question: str, *, secret: bool = False) -> str:
        if not sys.stdin.isatty():
            raise NoTerminal
        if secret:
            return getpass.getpass(question, sys.stderr)
        sys.stderr.write(question)
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise KeyboardInterrupt
        return line.strip()


def login(
    qr: Annotated[bool, typer.Option("--qr", help="Show a QR code for the account's phone to scan.")] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Log out first, to be another account.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Log in to Telegram: with a phone number, a QR code, or as the bot whose token is configured.

    Example: stampmill login --qr
    """
    settings, path = load(config)
    # Where the service's credentials are taken from, too: `init` has put the api_hash beside the configuration.
    os.environ.setdefault("CREDENTIALS_DIRECTORY", str(path.absolute().parent))
    bot = settings.telegram is not None and bool(settings.telegram.bot_token_file)
    if anew and not bot and not sys.stdin.isatty():
        raise NoTerminal  # before the login that is there has been ended
    from bot_adapter import telethon_facts

    telethon_facts.check()
    from bot_adapter.login import log_in

    try:
        me, new = log_in(settings, _Terminal(), qr=qr, anew=anew)
    finally:
        hand_over(settings)
    name = " ".join(part for part in (me.first_name, me.last_name) if part)
    if as_json:
        print_json(LoggedIn(id=me.id, name=name, username=me.username, bot=bool(me.bot), new=new))
        return
    known = f"{safe(name)} ({f'@{safe(me.username)}, ' if me.username else ''}id {me.id})"
    if new:
        out().print(f"Logged in as {known}. The daemon takes it from here: stampmill run")
    else:
        out().print(f"Logged in as {known} already. To be another account: stampmill login --anew")
