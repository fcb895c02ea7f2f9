"""Croissant metadata of every known data set hold what the reference implementation asks for."""

import json
import logging

import pytest

from tailboard.datasets.builtin import catalog
from tailboard.datasets.catalog import DataError
from tailboard.datasets.user_images.image_sets import IMAGE_SETS
from tailboard.harness.registry.croissant import CONTEXT, croissant


@pytest.mark.parametrize("name", ["cifar10", "fashion-mnist", "cinic10", "eurosat", "isic2020"])
def test_metadata_are_valid_and_name_the_classes(name, tmp_path, caplog):
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    (tmp_path / "metadata.json").write_text(json.dumps(croissant(name)))
    with caplog.at_level(logging.ERROR):
        read = mlcroissant.Dataset(tmp_path / "metadata.json")
    assert not caplog.records and not read.metadata.ctx.issues.errors
    known = IMAGE_SETS.get(name) or catalog()[name]
    names = [record["classes/name"] for record in read.records("classes")]
    assert [word.decode() if isinstance(word, bytes) else word for word in names] == list(known.classes)
    assert {file.content_url: file.md5 for file in read.metadata.distribution} == dict(known.archives)


def test_the_vocabulary_is_the_reference_implementations():
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    made = mlcroissant.Metadata(name="x", description="x", license=["x"], url="https://example.org").to_json()
    assert made["@context"] == CONTEXT


def test_every_known_set_has_metadata_and_a_wrong_name_a_hint():
    for name in (*catalog(), *IMAGE_SETS):
        assert croissant(name)["name"] == name
    with pytest.raises(DataError, match="did you mean 'cifar10"):
        croissant("cifar1")
