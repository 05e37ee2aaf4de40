"""Errors a caller can act on; each message names the file or argument, the cause and the remedy."""


class Pyface3dError(ValueError):
    """Base of every error raised on purpose by pyface3d; the command line prints it as one line."""


class InputError(Pyface3dError):
    """A file or value given by the user cannot be used (unreadable, too large, wrong shape)."""


class NoFaceError(Pyface3dError):
    """No face was found where one was wanted."""


class AssetError(Pyface3dError):
    """A model or weight file is missing, damaged or not the one recorded in its card."""


class OutputError(Pyface3dError):
    """A result cannot be written (folder not writable, disk full)."""
