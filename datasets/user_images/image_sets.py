"""The image sets that are read as a user's own images are: at any size, from wherever their files lie, keyed by their
contents. None comes with checksums of its single files; the numbers of images are from the literature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..catalog import DataError
from ..fetching import destination, fetch, is_as_archived, unpack
from ..files import checksum, folders_for, missing
from ..readers import eurosat, kaggle
from . import source as user_source
from .listing import Files
from .source import SETS, Source, given_words

KAGGLE = "kaggle competitions download -c {} (tailboard fetches nothing there: an account must accept the rules)"


@dataclass(frozen=True)
class ImageSet:
    """What can be said of an image set without its files.

    ``splits`` are those that it can be read with, the usual one first, each in words; ``read(folder, split)`` lists its
    images, or returns None where its layout is not in the folder. ``images`` says how many there are, ``size`` of what
    size, ``how`` how to get them. ``prepare(root)`` fetches it, where terms and routes allow that; ``verify(folder)``
    returns the checksums that were found of its archive, and whether the files are the official ones. ``archives`` are
    the md5 of what is fetched, by its address.
    """

    name: str
    classes: tuple[str, ...]
    images: str
    size: str
    splits: Mapping[str, str]
    read: Callable[[Path, str], Files | None]
    layout: str
    how: str
    terms: str
    description: str
    prepare: Callable[[Path | None], Path] | None = None
    verify: Callable[[Path], tuple[dict[str, str], bool]] | None = None
    archives: Mapping[str, str] = field(default_factory=dict)


def _prepare_eurosat(root: Path | None) -> Path:
    archive = fetch(EUROSAT_URL, EUROSAT_MD5, destination("eurosat", root) / "EuroSAT.zip")
    unpack(archive)
    return archive.parent


def _verify_eurosat(folder: Path) -> tuple[dict[str, str], bool]:
    archive = folder / "EuroSAT.zip"
    if not archive.is_file():
        return {}, False
    found = checksum(archive, "md5")
    return {archive.name: found}, found == f"md5:{EUROSAT_MD5}" and is_as_archived(archive)


EUROSAT_URL = (
    "https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip"
)
EUROSAT_MD5 = "c8fa014336c82ac7804f0398fcb19387"
FANG = "the fifth of each class on which Fang et al. (arXiv 2301.04644) evaluate"
CARVED = "another fifth of each class, as of images of your own"
EUROSAT = ImageSet(
    name="eurosat",
    classes=eurosat.CLASSES,
    images="27,000",
    size="64x64",
    splits={"fang": FANG, "torchgeo": "torchgeo's files: validation is trained on", "carved": CARVED},
    read=eurosat.read,
    layout="2750/CLASS/*.jpg, as torchvision unpacks it, or eurosat/2750/CLASS/*.jpg",
    how="tailboard data prepare eurosat",
    terms="MIT; cite Helber et al. 2019",
    description="satellite images of land use, 10 classes (Helber et al. 2019)",
    prepare=_prepare_eurosat,
    verify=_verify_eurosat,
    archives={EUROSAT_URL: EUROSAT_MD5},
)
APTOS2019 = ImageSet(
    name="aptos2019",
    classes=tuple(map(str, range(5))),
    images="3,662 with labels",
    size="of many sizes",
    splits={"fang": FANG, "carved": CARVED},
    read=kaggle.read_aptos,
    layout="train.csv (id_code, diagnosis) and train_images/ID.png",
    how=KAGGLE.format("aptos2019-blindness-detection"),
    terms="the competition's rules",
    description="photographs of the retina, 5 grades of diabetic retinopathy (APTOS 2019)",
)
ISIC2020 = ImageSet(
    name="isic2020",
    classes=kaggle.DIAGNOSES,
    images="33,126 with labels, duplicates among them",
    size="of many sizes",
    splits={
        "patients": "a fifth of 2020's images, whole patients on one side",
        "fang": "Fang et al.'s folds (arXiv 2301.04644) of 2020's and 2019's images",
    },
    read=kaggle.read_isic,
    layout="train.csv (image_name, patient_id, target, tfrecord) and train/NAME.jpg or jpeg/train/NAME.jpg; for split: "
    "fang, those of melanoma-2020/ and melanoma-2019/",
    how=KAGGLE.format("siim-isic-melanoma-classification"),
    terms="CC BY-NC 4.0; doi 10.34970/2020-ds01",
    description="photographs of skin lesions, 584 of 33,126 malignant (SIIM-ISIC 2020)",
)
IMAGE_SETS = {each.name: each for each in (EUROSAT, APTOS2019, ISIC2020)}


def source_of(words: Mapping[str, Any], folder: Path, root: Path | None) -> Source:
    """The source that the words of a spec stand for, of an image set too.

    Args:
        words: ``name`` as in ``eurosat`` or ``folder:photos``, and what is said beside it.
        folder: What a relative path is relative to.
        root: The folder that holds image sets, beside those that are always looked in.

    Raises:
        DataError: where a word is not what it should be, or nothing is there.
    """
    name = words["name"]
    if name not in SETS:
        return user_source.source_of(words, folder)
    given = given_words(words, name)
    return Source(name, folder_of(name, given.get("split"), root), **given)


def listing(source: Source) -> Files:
    """The images of a set in the folder that the source names. DataError where its layout is not there."""
    known = IMAGE_SETS[source.kind]
    files = known.read(source.path, source.split or next(iter(known.splits)))
    if files is None:
        raise DataError(f"{source.path} does not hold {known.name}: {known.layout} is expected.")
    return files


def folder_of(name: str, split: str | None, root: Path | None) -> Path:
    """The first folder, of those where data sets are looked for, that holds an image set's layout.

    Args:
        name: The image set.
        split: A split of it, where it has several.
        root: The folder to look in first; None for the usual ones.

    Raises:
        DataError: where none does, with how to get it; and for a split that it has not.
    """
    known = IMAGE_SETS[name]
    if split is not None and split not in known.splits:
        raise DataError(f"data.split: {name} has {' and '.join(known.splits)}, not {split!r}")
    searched = [place.resolve() for place in folders_for(name, root)]
    for place in searched:
        if place.is_dir() and known.read(place, split or next(iter(known.splits))) is not None:
            return place
    raise missing(name, searched, known.layout, known.terms, known.how)
