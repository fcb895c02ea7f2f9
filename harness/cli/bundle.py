"""``tailboard export``, ``verify``, ``submit`` and ``publish``: what leaves a group, and what others make of it."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import Json, NoVerify, Root, print_output, print_result, print_status

app = typer.Typer()


@app.command(epilog="Example: tailboard export runs/quickstart -o quickstart.zip")
def export(
    store: Annotated[str, typer.Argument(metavar="STORE")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The bundle, a file that ends in .zip.")],
) -> int:
    """Write one file with all that a stranger needs to check the leaderboard of a store; exit code 3 where the store
    does not hold by itself."""
    from ..bundles.bundle import Bundle
    from ..bundles.export import export as written
    from ..reporting import gather
    from ..storage.store import Store

    if output.suffix != ".zip":
        raise typer.BadParameter(f"--output: {output} must end in .zip")
    differences = written(Store(store), output)
    for difference in differences:
        print_status(f"error: {difference}")
    if differences:
        return 3
    bundle = Bundle(output)
    print_output(f"{output}: {bundle.summary}")
    complete = gather.gather([bundle]).complete
    bundle.close()
    return 0 if complete else 2


@app.command(epilog="Examples: tailboard verify quickstart.zip | tailboard verify quickstart.zip --rerun 3 --seed 1")
def verify(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE")],
    rerun: Annotated[int, typer.Option("--rerun", min=0, help="Train so many of its trials again, at random.")] = 0,
    seed: Annotated[int | None, typer.Option(min=0, help="Which; drawn anew, and printed, if not given.")] = None,
    trust: Annotated[bool, typer.Option("--trust-plugins", help="Let --rerun run the code of its plugins.")] = False,
    root: Root = None,
    no_verify: NoVerify = False,
    as_json: Json = False,
) -> int:
    """Recompute every number of a bundle from its raw predictions, and print each that differs; exit code 3 where one
    does."""
    from ..bundles import verify as checks
    from ..bundles.bundle import Bundle
    from ..bundles.split_checks import SplitConsistency
    from ..reporting import gather

    place = Bundle(bundle)
    images = SplitConsistency(root.resolve() if root else None)
    mismatches = checks.verify(place, images)
    facts: dict[str, Any] = {"sha256": place.digest, "differences": [each._asdict() for each in mismatches]}
    for name in sorted(images.absent):
        print_status(f"{name} is not on this machine: its labels were only compared with each other")
    verdict = (
        f"{len(mismatches)} difference{'s' * (len(mismatches) > 1)}"
        if mismatches
        else "every number holds (times and losses are claims of whoever ran it)"
    )
    code = 3 if mismatches else 0 if gather.gather([place]).complete else 2
    if not as_json:  # before anything that may go wrong in training again
        print_output("\n".join([*map(str, mismatches), f"{bundle}: {verdict}: {place.summary}"]))
    try:
        if rerun and not mismatches:
            code = max(code, _again(place, rerun, seed, trust, root, not no_verify, facts))
        elif rerun:
            print_status("nothing is trained again: what is in the bundle does not hold by itself")
    finally:
        words = "\n".join(_words(each) for each in facts.get("repetitions", []))
        if as_json or words:
            print_result(facts, words, as_json)
        place.close()
    return code


@app.command(epilog="Examples: tailboard submit mine.zip --to leaderboard | tailboard submit mine.zip --to clone/")
def submit(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE")],
    to: Annotated[Path, typer.Option("--to", help="A folder, or a local clone, where it becomes a branch.")],
) -> int:
    """Check a bundle, and put it under its SHA-256 with a summary into a folder or a clone; exit code 3 where it does
    not hold. Nothing is sent anywhere."""
    from ..bundles.submission import submit as submitted

    done = submitted(bundle, to)
    if done.differences:
        print_output("\n".join(map(str, done.differences)))
        print_status(f"error: {bundle} does not hold, and was not put anywhere")
        return 3
    what = "was there already" if done.already else "put there with its summary"
    place = f"{done.path} on the branch {done.branch}" if done.branch else f"{done.path}"
    print_output(f"{place}: {what}")
    if done.branch:
        print_status(f"to send it: git -C {to} push origin {done.branch}, and open a pull request")
    return 0


@app.command(epilog="Example: tailboard publish mine.zip --hf results.yaml --method M2m")
def publish(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE")],
    hf: Annotated[Path, typer.Option("--hf", help="The YAML of the model card's evaluation results.")],
    method: Annotated[str | None, typer.Option(help="One method of the bundle; all if not given.")] = None,
) -> int:
    """Write the results of a bundle as others show them: Hugging Face's model-index. A bundle that does not hold is
    refused."""
    from ..bundles.bundle import Bundle
    from ..bundles.model_index import model_index
    from ..bundles.split_checks import SplitConsistency
    from ..bundles.verify import require

    place = Bundle(bundle)
    try:
        require(place, SplitConsistency(local=False))
        text = model_index(place, place.digest, method)
    finally:
        place.close()
    hf.write_text(text, encoding="utf-8", newline="\n")
    print_output(f"{hf}: paste it between the --- lines of the model card")
    return 0


def _again(
    place: Any, count: int, seed: int | None, trust: bool, root: Path | None, verify: bool, facts: dict[str, Any]
) -> int:
    """Train some again. What was drawn and came of it is added to the facts; the exit code."""
    from ..bundles import rerun
    from ..scheduling.processes import ended_by_sigterm
    from ..spec.labels import label

    seed = secrets.randbelow(1 << 31) if seed is None else seed
    chosen = rerun.sample_trials(place, count, seed)
    labels = "; ".join(label(record.trial) for record in chosen) or "nothing, since no trial has ended"
    print_status(f"drawn with --seed {seed}: {labels}")
    facts["seed"] = seed
    for plugin in rerun.check_trust(place, chosen, trust):
        print_status(f"running the bundle's own code: {plugin}")
    with ended_by_sigterm():
        repetitions = list(rerun.rerun(place, chosen, root.resolve() if root else None, verify, print_status))
    facts["repetitions"] = [asdict(each) for each in repetitions]
    verdicts = {each.verdict for each in repetitions}
    return 3 if "differs" in verdicts else 2 if "not judged" in verdicts or not repetitions else 0


def _words(repetition: dict[str, Any]) -> str:
    lines = [f"{repetition['verdict']}: {repetition['label']} [{repetition['key']}]: {repetition['rule']}"]
    return "\n".join([*lines, *(f"  {each}" for each in repetition["differences"])])
