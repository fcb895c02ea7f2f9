"""When garbage is collected."""

import gc
import subprocess
import sys

from tailboard.harness.garbage import uncollected


def test_no_thread_collects_garbage_until_the_last_block_is_left():
    with uncollected():
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_command_that_ends_does_not_go_through_all_that_it_has_made():
    command = """
import atexit, gc, sys

atexit.register(lambda: print(gc.get_freeze_count() > 0))  # before that of the command, and so called after it
from tailboard.harness.cli.app import main

sys.argv = ["tailboard", "--version"]
main()
"""
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True"
