"""`retouch models`."""

import click

import retouch
from retouch.cli.session import Session, current_session
from retouch.cli.tables import models_table


@click.group()
def models() -> None:
    """See what the service can use.

    \b
    Example:
      retouch models list
    """


@models.command("list")
@current_session
def list_models(session: Session) -> None:
    """List the models that are served, ready or not.

    \b
    Example:
      retouch models list
    """

    async def work(client: retouch.RetouchClient) -> list[retouch.Model]:
        return await client.models()

    served = session.run(work)
    if session.is_json:
        session.answer(served)
    elif served:
        session.out.print(models_table(served))
    else:
        session.out.print("no models are served; start the service with a model repository, see `retouch up --help`")
