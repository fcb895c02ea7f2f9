"""Collections of tables: where ``openml:ID`` and ``imblearn:NAME`` are looked for, in the folders and files in which
scikit-learn's ``fetch_openml`` and imbalanced-learn's ``fetch_datasets`` keep them, and how they are fetched."""

from __future__ import annotations

import warnings
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from ..catalog import DataError
from ..files import folders_for, missing, roots

KINDS = ("openml", "imblearn")
EXAMPLES = {"openml": "openml:31", "imblearn": "imblearn:ecoli"}
CACHE = "openml.org"  # the folder that ``fetch_openml`` keeps its answers in, below ``openml``
DESCRIPTION = "api/v1/json/data/{}.gz"
LARGEST_ID = 10**9
# The sets of imbalanced-learn's collection in the order of its files, ``x1data.npz`` to ``x27data.npz``.
IMBLEARN = (
    *("ecoli", "optical_digits", "satimage", "pen_digits", "abalone", "sick_euthyroid", "spectrometer", "car_eval_34"),
    *("isolet", "us_crime", "yeast_ml8", "scene", "libras_move", "thyroid_sick", "coil_2000", "arrhythmia"),
    *("solar_flare_m0", "oil", "car_eval_4", "wine_quality", "letter_img", "yeast_me2", "webpage", "ozone_level"),
    *("mammography", "protein_homo", "abalone_19"),
)
TERMS = {"openml": "those of the set, on openml.org", "imblearn": "doi 10.5281/zenodo.61452; cite Ding 2011"}


def place_of(kind: str, member: str, root: Path | None) -> Path:
    """Where a set of a collection lies: the file, or of OpenML the folder of the cache.

    Args:
        kind: One of KINDS.
        member: Its number at OpenML, or its name in imbalanced-learn's collection.
        root: The folder that holds the data, beside those that are always looked in.

    Raises:
        DataError: where there is no set of that name, or it was not prepared.
    """
    if kind == "openml":
        file = f"{CACHE}/{DESCRIPTION.format(_number(member))}"
        searched, layout = folders_for("openml", root), f"{file}, as fetch_openml keeps it"
        found = [place / CACHE for place in searched if (place / file).is_file()]
    else:
        file = f"x{_position(member) + 1}data.npz"
        searched, layout = folders_for("zenodo", root), f"{file}, of benchmark-imbalanced-learn.tar.gz"
        found = [place / file for place in searched if (place / file).is_file()]
    if not found:
        command = f"tailboard data prepare {kind}:{member}" + (f" --root {root}" if root else "")
        raise missing(f"{kind}:{member}", searched, layout, TERMS[kind], command)
    return found[0].resolve()


def prepare(kind: str, member: str, root: Path | None) -> Path:
    """Fetch a set over the network by the library whose cache it is, which is then what is read.

    Args:
        kind, member, root: As of :func:`place_of`.

    Returns:
        Where it is.

    Raises:
        DataError: where there is no such set, or it cannot be fetched.
    """
    home = roots(root)[0]
    try:
        home.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other versions of the set, and of tries
            if kind == "openml":
                fetch = import_module("sklearn.datasets").fetch_openml
                fetch(data_id=_number(member), data_home=str(home), as_frame=True, parser="auto", n_retries=1)
            else:
                _position(member)
                fetch = import_module("imblearn.datasets").fetch_datasets
                fetch(data_home=str(home), filter_data=(member,))
    except ModuleNotFoundError as error:
        raise DataError('imbalanced-learn is not installed: pip install "tailboard[tables]"') from error
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{kind}:{member} could not be fetched: {' '.join(str(error).split())[:300]}") from None
    return place_of(kind, member, root)


def _number(member: str) -> int:
    if not member.isascii() or not member.isdecimal() or not 0 < int(member[:12]) < LARGEST_ID:
        raise DataError(f"data: openml:{member[:40]}: the number of a data set is expected, as in openml:31")
    return int(member)


def _position(member: str) -> int:
    if member not in IMBLEARN:
        near = get_close_matches(member, IMBLEARN, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(IMBLEARN)}"
        raise DataError(f"data: imblearn:{member}: imbalanced-learn's collection has no such set; {hint}")
    return IMBLEARN.index(member)
