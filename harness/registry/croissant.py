"""A known data set as Croissant metadata, in JSON-LD: what search engines and loaders read (MLCommons, version 1.0)."""

from __future__ import annotations

from typing import Any

from ...datasets.user_images.image_sets import IMAGE_SETS
from .datasets import dataset

VERSION = "http://mlcommons.org/croissant/1.0"
TYPES = {".zip": "application/zip", ".gz": "application/gzip"}
# The terms of the vocabulary, as its specification lists them.
_TERMS = (
    *("citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet", "format"),
    *("includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
    *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS},
}


def croissant(name: str) -> dict[str, Any]:
    """The metadata of a data set: its description, terms, the files that may be fetched, and its classes.

    Raises:
        DataError: where there is none of that name, with the nearest right word.
    """
    known = IMAGE_SETS.get(name) or dataset(name)
    files = [
        {
            "@type": "cr:FileObject",
            "@id": url.rsplit("/", 1)[-1],
            "name": url.rsplit("/", 1)[-1],
            "contentUrl": url,
            "encodingFormat": next((kind for ending, kind in TYPES.items() if url.endswith(ending)), TYPES[".gz"]),
            "md5": md5,
        }
        for url, md5 in known.archives.items()
    ]
    label = {"@type": "cr:Field", "@id": "classes/name", "name": "name", "dataType": ["sc:Text", "sc:name"]}
    classes = {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "description": "The classes, in the order of their numbers from 0.",
        "dataType": "sc:Enumeration",
        "key": {"@id": "classes/name"},
        "field": [label],
        "data": [{"classes/name": each} for each in known.classes],
    }
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        "name": known.name,
        "description": known.description,
        "license": known.terms,
        "distribution": files,
        "recordSet": [classes],
    }
