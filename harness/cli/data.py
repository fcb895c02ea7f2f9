"""``tailboard data``: what is learned from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..errors import SpecError
from .options import Few, Json, Many, Root, Tercile, print_result

app = typer.Typer(no_args_is_help=True, help="What is learned from: inspect, list, prepare, verify, clear, profile.")


@app.command(
    "inspect", epilog="Examples: tailboard data inspect folder:photos | tailboard data inspect csv:t.csv --label income"
)
def data_inspect(
    name: Annotated[str, typer.Argument(help="folder:PATH, csv:FILE ..., or an image set or collection's.")],
    label: Annotated[str | None, typer.Option(help="Of a csv: the column with the label.")] = None,
    image: Annotated[str | None, typer.Option(help="Of a csv: the column with the image's path.")] = None,
    group: Annotated[str | None, typer.Option(help="Of a csv: the column with the group.")] = None,
    size: Annotated[int | None, typer.Option(help="The side that images are brought to.")] = None,
    root: Root = None,
    as_json: Json = False,
    html: Annotated[Path | None, typer.Option(help="Also write one page, with images of each class.")] = None,
) -> int:
    """Print what is in images or a table of your own: classes, copies, leaks, what cannot be read; 1 if not ready."""
    from ...datasets.user_images.image_sets import source_of
    from ...datasets.user_images.inspect import inspected
    from ...datasets.user_tables.source import is_user_table
    from ..metrics.advice import advice
    from ..reporting.pages import images_page
    from .descriptions import listings

    if is_user_table({"name": name, "image": image, "size": size}, Path()):
        if html:
            raise SpecError("--html: makes a page of images, and this is a table")
        return _inspect_table(name, {"label": label, "group": group}, root, as_json)
    source = source_of({"name": name, "label": label, "image": image, "group": group, "size": size}, Path(), root)
    facts = inspected(source)
    facts |= advice(facts["classes"], bool(facts["groups"])) if facts["ready"] else {}
    if html:
        images_page.write(facts, source, html)
    print_result(facts, listings.images_table(facts), as_json)
    return 0 if facts["ready"] else 1


def _inspect_table(name: str, words: dict[str, str | None], root: Path | None, as_json: bool) -> int:
    from ...datasets.user_tables.inspect import inspected
    from ...datasets.user_tables.source import source_of
    from ..metrics.advice import advice
    from .descriptions import listings

    facts = inspected(source_of({"name": name, **words}, Path(), root))
    facts |= advice(facts["classes"], bool(facts["groups"]), "rows")
    print_result(facts, listings.rows_table(facts), as_json)
    return 0


@app.command("list", epilog="Examples: tailboard data list | tailboard data list --croissant cifar10")
def data_list(
    as_json: Json = False,
    croissant: Annotated[str | None, typer.Option(metavar="NAME", help="One of them, as Croissant metadata.")] = None,
) -> None:
    """Print the data sets that are known: kind, classes, sizes, terms, and where each is or how to get it."""
    if croissant is not None:
        from ..registry.croissant import croissant as metadata

        print(json.dumps(metadata(croissant), indent=1, ensure_ascii=False))
        return
    from .descriptions import listings

    print_result(*listings.listing("datasets"), as_json)


@app.command("prepare", epilog="Example: tailboard data prepare cifar10 --root /data")
def data_prepare(name: str, root: Root = None) -> None:
    """Fetch a data set over the network; nothing else does."""
    from ..registry.datasets import prepare

    print(prepare(name, root))


@app.command("verify", epilog="Example: tailboard data verify cifar10 --root /data")
def data_verify(name: str, root: Root = None) -> int:
    """Check a data set's files against the official checksums; exit code 3 where they differ."""
    from ..registry.datasets import verified

    checksums, official = verified(name, root)
    for file, checksum in checksums.items():
        print(f"{checksum}  {file}")
    unsaid = "not verified: these are not the official bytes" if checksums else "not verified: there is no checksum"
    print("verified: the official bytes" if official else unsaid)
    return 0 if official else 3


@app.command("clear", epilog="Examples: tailboard data clear | tailboard data clear folder:photos")
def data_clear(name: Annotated[str, typer.Argument(help="A data set; all of them if not given.")] = "") -> None:
    """Remove the decoded images that are kept on this machine, which are made again where they are needed."""
    from ...datasets.decoded_files import clear

    removed = clear(name)
    for folder, size in removed.items():
        print(f"{size / 2**20:10,.1f} MiB  {folder}")
    print(f"{sum(removed.values()) / 2**20:10,.1f} MiB  removed" if removed else "nothing is kept")


@app.command(
    "profile",
    epilog="Examples: tailboard data profile cifar100 --imbalance-factor 100 | tailboard data profile folder:photos",
)
def data_profile(
    name: Annotated[str, typer.Argument(help="A data set, or one of your own: folder:PATH, csv:FILE ...")],
    imbalance_factor: Annotated[
        float | None, typer.Option(help="Most over fewest.", show_default="of data of your own the one they have")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="exp, step or natural.", show_default="exp")] = None,
    head: Annotated[int | None, typer.Option(help="Images of the largest class.", show_default="all")] = None,
    label: Annotated[str | None, typer.Option(help="Of a csv: the column with the label.")] = None,
    root: Root = None,
    few: Few = None,
    many: Many = None,
    tercile: Tercile = False,
    as_json: Json = False,
) -> None:
    """Print the training images or rows of each class and its shots, as a spec's words cut them."""
    from ..registry.datasets import dataset_of, long_tail
    from ..spec.parser import parse_data, parse_shots
    from .descriptions import listings

    words = {"imbalance_factor": imbalance_factor, "profile": profile, "head": head, "label": label}
    data = parse_data({"name": name} | {word: value for word, value in words.items() if value is not None}, root=root)
    known = dataset_of(data)
    if data.profile != "natural" and imbalance_factor is None:
        raise SpecError(f"--imbalance-factor: missing; it says how the long tail of {name} is cut, such as 100")
    facts = listings.profile_facts(known, long_tail(data), parse_shots(few, many, tercile))
    print_result(facts, listings.profile_table(facts), as_json)
