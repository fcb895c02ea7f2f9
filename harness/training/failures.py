"""By their words: errors whose types do not say what went wrong."""

from __future__ import annotations

import re
import traceback

# torch's own, CUDA's, and what CUDA's libraries say where others have filled the device.
OUT_OF_MEMORY = re.compile("OutOfMemoryError|CUDA.*out of memory|_ALLOC_FAILED")
OF_A_FILE = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


def is_out_of_memory(text: str) -> bool:
    """Whether a device had too little memory."""
    return bool(OUT_OF_MEMORY.search(text))


def is_of_a_plugin(error: Exception) -> bool:
    """Whether a method's own file opened a file that is not there, or not for it: no other machine cures that."""
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, OF_A_FILE) and any(frame.filename.startswith("tailboard_plugin_") for frame in frames)
