"""The command line: finds the command, reads its options, runs it, and turns errors into one line and an exit code.

Nothing here or in the head of ``commands/*`` imports torch, so that ``--help`` and mistakes answer at once.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import pyface3d
from pyface3d.errors import Pyface3dError

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130

COMMANDS = {
    "reconstruct": "photos to textured, animatable heads (GLB, PLY, OBJ) with a report",
    "segment": "masks of the visible face and its parts (PNG), with a report",
    "demo": "run the whole path on a bundled portrait and its half-hidden version",
    "view": "look at a GLB, PLY or OBJ file in the browser, expressions on sliders",
    "prepare": "landmarks of photos as files; aligned crops, occluders with masks, training sets",
    "train": "train our networks, or those of Extreme 3D Faces, on synthetic faces",
    "evaluate": "measure landmarks, detection, masks and geometry against known answers",
    "convert": "files of the original systems (checkpoints) into ours; nothing in them is run",
    "assets": "list, describe and check the models and weights that ship with the package",
    "doctor": "say what this machine has, what is missing and what to do about it",
}

HELP = """usage: pyface3d COMMAND ...

3D face reconstruction that survives occlusion.

commands:
{commands}

  pyface3d COMMAND --help tells the options of one command, pyface3d --version the version.

examples:
  pyface3d demo                                  see what it does, in about a minute
  pyface3d reconstruct photo.jpg -o out          out/photo.glb, out/photo_foundation_frontal.ply, out/report.html
  pyface3d reconstruct photos/ -o out --resume   a folder; run it again after an interruption
  pyface3d view out/photo.glb                    turn the head, move its face

exit code: 0 every input succeeded, 1 something failed (report.json says what and why), 2 wrong usage
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
        argv: the arguments after the program's name; those of the process when left out.

    Returns:
        The exit code: 0 everything succeeded, 1 something failed, 2 wrong usage, 130 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name that the terminal's encoding lacks must not end a run
            stream.reconfigure(errors="replace")
    try:
        return _run(arguments)
    except UsageError as error:
        return _complain(error, EXIT_USAGE)
    except Pyface3dError as error:
        return _complain(error, EXIT_FAILED)
    except KeyboardInterrupt:
        print("pyface3d: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output left (``| head``); what Python would still flush has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED


class UsageError(Pyface3dError):
    """The command line asks for something that does not exist."""


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        rows = "\n".join(f"  {name:{width}}  {what}" for name, what in COMMANDS.items())
        print(HELP.format(commands=rows), end="")
        return EXIT_OK if arguments else EXIT_USAGE
    if arguments[0] in ("-V", "--version"):
        print(f"pyface3d {pyface3d.__version__}")
        return EXIT_OK
    name = arguments[0]
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(COMMANDS)}"
        raise UsageError(f"no command is called {name!r}; {hint}")
    command = import_module(f"pyface3d.commands.{name}")
    if hasattr(command, "main"):  # it reads its own flags
        code: int = command.main(arguments[1:])
        return code
    import tyro

    try:
        parsed = tyro.cli(
            command.Command,
            prog=f"pyface3d {name}",
            args=arguments[1:],
            description=command.__doc__,
            config=(tyro.conf.FlagCreatePairsOff,),
        )
    except SystemExit as leaving:  # tyro has printed the help, or what was wrong
        return leaving.code if isinstance(leaving.code, int) else EXIT_USAGE
    code = parsed.run()
    return code


def _complain(error: Exception, code: int) -> int:
    line = "".join(letter if letter.isprintable() else "�" for letter in str(error))
    print(f"pyface3d: error: {line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
