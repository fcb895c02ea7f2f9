"""What a bundle tells of paths in error messages: their last part."""

from __future__ import annotations

import ntpath
import posixpath
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailboard.harness.text import redact_paths


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("open '/home/me/a b/c.txt' failed", "open 'c.txt' failed"),
        ("no '/a/b/x.py' at 'C:\\Users\\Me\\y.txt', 1/2", "no 'x.py' at 'y.txt', 1/2"),
        ('no "/a/O\'Brien/x.py" and 1/2 of "/c/d/y.py"', 'no "x.py" and 1/2 of "y.py"'),
        ("'/home/O' Brien/secret/x.py' is missing", "'x.py' is missing"),
        ("can't open '/home/John Doe/secret/x.py'", "can't open 'x.py'"),
        ("/home/John Doe/secret/x.py", "x.py"),
        ("C:\\Users\\Jane Roe\\x.txt: denied", "x.txt: denied"),
        ("'C:\\\\Users\\\\Jane Roe\\\\x.txt' is missing", "'x.txt' is missing"),
        ("C:/Users/Jane/x.txt", "x.txt"),
        ("at \\\\srv\\alice\\x.txt", "at x.txt"),
        ("no s3://bucket/alice/x there", "no x there"),
        ("no 's3://bucket/alice/x' at 'https://example.org'", "no 'x' at 'example.org'"),
        ("file:///home/jane/x.py and ~/secret/y, ~jane/z", "z"),
        ("cc -I/home/jane/include failed", "cc -Iinclude failed"),
        ("'/home/jane/secret/' is empty", "'' is empty"),
        ("two\nlines: /a/b\nof 1/2", "two\nlines: b\nof 1/2"),
        ("1/2 of images/labels, lr/10, 3 / 4", "1/2 of images/labels, lr/10, 3 / 4"),
        ("ValueError: a\\b isn't in it", "ValueError: a\\b isn't in it"),
    ],
)
def test_folders_are_left_out(text, shown):
    assert redact_paths(text) == shown
    assert redact_paths(shown) == shown


def test_many_quotes_take_no_time():
    text = "x '/a/b' " + "say 'it' or not " * 1000
    begun = time.perf_counter()
    for words in (text, text + "isn't", "'/" * 2000, "/a " * 2000, "~" * 5000, "a+" * 2500, "/" * 5000):
        redact_paths(words)
    assert time.perf_counter() - begun < 5


# Of letters that no sentence here uses, so that each is recognised; what may stand in a name stands in it
PARTS = st.from_regex(r"[QXZ][QXZ '\"(),:;=&.~@#\[\]-]{0,8}[QXZ]", fullmatch=True)
POSIX = st.lists(PARTS, min_size=2, max_size=5).map(lambda parts: "/" + "/".join(parts))
WINDOWS = st.lists(PARTS, min_size=2, max_size=5).map(lambda parts: "C:\\" + "\\".join(parts))
SHARES = st.lists(PARTS, min_size=3, max_size=5).map(lambda parts: "\\\\" + "\\".join(parts))
URLS = st.lists(PARTS, min_size=2, max_size=5).map(lambda parts: "s3://" + "/".join(parts))
SENTENCES = [
    "{0}", "could not open {0}: permission denied", "error ({0}) in line 3", "{0}, which can't be read", "path={0}",
    "no such file: {0!r}", "{0!r} isn't there, 1/2 of lr/10 is", "[Errno 2] No such file or directory: {0!r}",
    "open({0!r}, 'r') failed at 'x'", "neither {0!r} nor {1!r}", "neither {0} nor {1}", "from {0} to {1!r}", "<{0}>",
]  # fmt: skip


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(sentence=st.sampled_from(SENTENCES), paths=st.tuples(*[POSIX | WINDOWS | SHARES | URLS] * 2))
def test_of_a_path_in_a_sentence_only_its_last_part_survives(sentence, paths):
    told = redact_paths(sentence.format(*paths))
    last = {part for path in paths for part in (posixpath.basename(path), ntpath.basename(path))}
    for path in paths:
        for folder in path.replace("\\", "/").split("/")[:-1]:
            if len(folder) > 2 and not any(folder in part for part in last):
                assert folder not in told, told
