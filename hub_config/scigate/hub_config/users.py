"""``python -m scigate.hub_config.users``: who may sign in with the authenticator of this package."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

import click

from .accounts import SHORTEST, Account, Accounts, AccountsError, hashed

DEFAULT: Final = Path("scigate-users.json")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--file", "path", type=click.Path(dir_okay=False, path_type=Path), default=DEFAULT, show_default=True,
              help="The file of users, as in c.FileAuthenticator.users_file.")  # fmt: skip
@click.pass_context
def users(context: click.Context, path: Path) -> None:
    """Add, change, list and remove the users of a small hub."""
    context.obj = Accounts(path)


@users.command("add")
@click.argument("name")
@click.option("--group", "groups", multiple=True, help="A group, and community, of the user; may be repeated.")
@click.option("--display-name", default="", help="How others see the user.")
@click.option("--admin", is_flag=True, help="An admin of the hub.")
@click.option("--generate", is_flag=True, help="Make a password and print it, once, instead of asking for one.")
@click.pass_obj
def add(
    accounts: Accounts, *, name: str, groups: tuple[str, ...], display_name: str, admin: bool, generate: bool
) -> None:
    """Add the user NAME, or replace them."""
    if name != name.lower().strip() or not name:
        raise click.UsageError(f"{name!r} cannot be a user of the hub: write the name in lower case.")
    password = secrets.token_urlsafe(12) if generate else _asked()
    accounts.add(name, Account(hashed(password), groups, admin, display_name))
    if generate:
        click.echo(password)


@users.command("password")
@click.argument("name")
@click.pass_obj
def password(accounts: Accounts, name: str) -> None:
    """Give the user NAME another password."""
    accounts.change(name, password=hashed(_asked()))


@users.command("remove")
@click.argument("name")
@click.pass_obj
def remove(accounts: Accounts, name: str) -> None:
    """Take the user NAME out."""
    accounts.remove(name)


@users.command("list")
@click.pass_obj
def list_users(accounts: Accounts) -> None:
    """Print the users and their groups."""
    for name, account in accounts.all().items():
        click.echo(f"{name}{' (admin)' if account.admin else ''}: {', '.join(account.groups) or 'no groups'}")


def _asked() -> str:
    typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    if len(typed) < SHORTEST:
        raise click.UsageError(f"A password has at least {SHORTEST} characters.")
    return typed


def main() -> None:
    """Run the command line."""
    try:
        users(prog_name="python -m scigate.hub_config.users")
    except AccountsError as error:
        raise SystemExit(f"Error: {error}.") from None


if __name__ == "__main__":
    main()
