"""Runs scripts and modules as `python` would, each in a fork of a process that has imported what they import and
computed nothing.

Reads requests, a line of JSON each: arguments, folder to work in, files for what is printed and for errors. Answers
each with the exit status.
"""

import gc
import json
import os
import runpy
import sys
from pathlib import Path

import pytorch_adapt.frameworks.ignite  # noqa: F401
import sklearn.datasets  # noqa: F401

import dmsrl_adapt  # noqa: F401


def requested():
    """Answers requests; gives what a fork has to run, and nothing once there are no more requests."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            return json.loads(line)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    return None


def run(arguments, cwd, out, errors):
    """Makes of a fork the process that Python starts with these arguments."""
    os.chdir(cwd)
    for path, number in ((os.devnull, 0), (out, 1), (errors, 2)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    is_module = arguments[0] == "-m"
    sys.argv = arguments[1:] if is_module else arguments
    sys.path[0] = cwd if is_module else str(Path(arguments[0]).resolve().parent)
    if is_module:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    gc.freeze()  # a fork that ends would look through all that was imported, and copy it
    request = requested()
    if request is not None:
        run(**request)
