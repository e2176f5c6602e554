"""``eventstore proof``."""

from __future__ import annotations

import click

from eventstore.cli.catching_up import open_caught_up
from eventstore.cli.options import Format, Settings, shared_options
from eventstore.cli.output import write_json_object
from eventstore.store.proofs import ConsistencyProof, InclusionProof


@click.command()
@click.argument("event", metavar="[EVENT]", type=click.IntRange(min=1), required=False)
@click.option(
    "--from",
    "first",
    type=click.IntRange(min=1),
    metavar="SIZE",
    help="Prove that the log of this many events only grew.",
)
@click.option(
    "--size", type=click.IntRange(min=1), metavar="SIZE", help="For the log of this many events."
)
@shared_options
@click.pass_obj
def proof(settings: Settings, event: int | None, first: int | None, size: int | None) -> None:
    """Prove that an event is in the log, or that it only grew.

    \b
    Examples:
      eventstore proof 12
      eventstore proof 12 --size 500 --json
      eventstore proof --from 500 --json

    EVENT is a position, as `eventstore log` shows it. The hashes are those of RFC 6962 (SHA-256, in
    hexadecimal), which other programs can check: the leaf of EVENT has the index EVENT - 1 in the
    tree, and the root is what a signed checkpoint of that size names.
    """  # noqa: D301
    if (event is None) == (first is None):
        raise click.UsageError("Give either EVENT or --from SIZE.")
    with open_caught_up(settings, "tree", "hashing") as store:
        made = (
            store.prove_inclusion(event, size)
            if event is not None
            else store.prove_consistency(first or 1, size)
        )
    made.verify()
    if settings.format is Format.JSON:
        write_json_object(proof_shape(made))
    else:
        click.echo("\n".join(_lines(made)))


def proof_shape(made: InclusionProof | ConsistencyProof) -> dict[str, object]:
    """A proof as JSON, with everything that a verifier needs."""
    hashes = [one.hex() for one in made.hashes]
    if isinstance(made, InclusionProof):
        return {
            "kind": "inclusion",
            "position": made.position,
            "index": made.position - 1,
            "leaf": made.leaf.hex(),
            "size": made.size,
            "root": made.root.hex(),
            "hashes": hashes,
        }
    return {
        "kind": "consistency",
        "first": made.first,
        "first_root": made.first_root.hex(),
        "size": made.size,
        "root": made.root.hex(),
        "hashes": hashes,
    }


def _lines(made: InclusionProof | ConsistencyProof) -> list[str]:
    if isinstance(made, InclusionProof):
        head = [
            f"event {made.position} is in the log of {made.size} events",
            f"leaf  {made.leaf.hex()}",
        ]
    else:
        head = [
            f"the log of {made.first} events grew into that of {made.size}",
            f"from  {made.first_root.hex()}",
        ]
    return [*head, f"root  {made.root.hex()}", *(f"hash  {one.hex()}" for one in made.hashes)]
