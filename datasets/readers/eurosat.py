"""EuroSAT in torchvision's layout: ``2750/CLASS/CLASS_n.jpg`` (Helber et al. 2019, arXiv 1709.00029)."""

from __future__ import annotations

from pathlib import Path

from ..catalog import DataError
from ..files import read_bytes
from ..user_images.listing import Files, Item
from .fang import fifth_of_each_class

LARGEST = 1 << 24  # bytes of a list of images; EuroSAT's have some hundred thousand
CLASSES = (
    *("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial"),
    *("Pasture", "PermanentCrop", "Residential", "River", "SeaLake"),
)
SEED = 42
PARTS = ("train", "val", "test")


def read(folder: Path, split: str) -> Files | None:
    """The images below ``folder``, class by class and then by name; None where its layout is not there.

    ``split`` is ``fang``, ``torchgeo`` (by the files ``eurosat-{train,val,test}.txt`` beside ``2750``) or ``carved``.
    DataError where a class has no images, or a file of the split does not name one.
    """
    top = folder / "2750"
    if not all((top / name).is_dir() for name in CLASSES):
        return None
    paths = [path for name in CLASSES for path in sorted((top / name).glob("*.jpg"))]
    if empty := set(CLASSES) - {path.parent.name for path in paths}:
        raise DataError(f"{top / min(empty)} holds no .jpg: the copy is not complete, fetch it again.")
    if split == "torchgeo":
        parts = _listed(folder, paths)
    elif split == "fang":
        held = fifth_of_each_class([CLASSES.index(path.parent.name) for path in paths], SEED)
        parts = ["test" if position in held else "train" for position in range(len(paths))]
    else:
        parts = [""] * len(paths)
    items = [
        Item(f"{path.parent.name}/{path.name}", path.parent.name, part) for path, part in zip(paths, parts, strict=True)
    ]
    return Files(items, paths)


def _listed(folder: Path, paths: list[Path]) -> list[str]:
    part_of: dict[str, str] = {}
    for part in PARTS:
        file = folder / f"eurosat-{part}.txt"
        if not file.is_file():
            raise DataError(f"{file} is missing: split: torchgeo takes torchgeo's three files, beside the folder 2750.")
        try:
            names = read_bytes(file, LARGEST).decode().split()
        except UnicodeDecodeError as error:
            raise DataError(f"{file} cannot be read as text: {error}") from None
        part_of |= dict.fromkeys((Path(name).stem for name in names), part)
    if unnamed := next((path for path in paths if path.stem not in part_of), None):
        raise DataError(f"{unnamed.name} is in none of {folder}/eurosat-{{train,val,test}}.txt.")
    return [part_of[path.stem] for path in paths]
