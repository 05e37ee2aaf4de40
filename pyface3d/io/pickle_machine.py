"""The stack language of Python's pickles, run on passive data.

A pickle is a program that may call anything. Here its names stay names and its calls become records of what was asked,
unless a table says how to answer them with data alone; so the worst that a file can do is not to be read. The opcodes
are those of the ``pickletools`` module's documentation, protocols 0 to 5.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

# Keys that are numbers can be made to collide, texts cannot (their hashes are salted); torch's optimisers need ~10³.
_MAX_NUMBER_KEYS = 10_000
_MAX_INTEGER_BYTES = 256
_MAX_NAME = 1000
# Who asks for these wants something to happen when the file is opened, which no data file does.
_HARMFUL_MODULES = frozenset(
    {"os", "posix", "nt", "sys", "subprocess", "pty", "socket", "shutil", "importlib", "runpy", "ctypes", "webbrowser"}
)
_HARMFUL_BUILTINS = frozenset({"eval", "exec", "compile", "open", "__import__", "input", "breakpoint"})


class PickleError(ValueError):
    """The bytes are no pickle, a damaged one, or one that asks for what a data file has no need of."""


class Name(NamedTuple):
    """A class or function that a pickle names; never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class PickledObject:
    """What a pickle says about an object of a class that stays unknown.

    Attributes:
        class_name: what it is made with, for example ``torch.nn.modules.conv.Conv2d``.
        arguments: what that is called with.
        state: what is stored of it, mostly a dictionary of its attributes; None where there is nothing.
        items: what is appended to it, or set in it as pairs.
    """

    __slots__ = ("arguments", "class_name", "items", "state")

    def __init__(self, class_name: str, arguments: tuple[Any, ...]) -> None:
        self.class_name, self.arguments = class_name, arguments
        self.state: Any = None
        self.items: list[Any] = []

    def __repr__(self) -> str:
        return f"<stand-in for {self.class_name}>"


class StatefulData:
    """Base of the answers of a table that take a state of their own after they are made."""

    __slots__ = ()

    def set_state(self, state: Any) -> None:
        raise NotImplementedError


Answers = Mapping[Name, Callable[..., Any]]


def run_pickle(
    data: memoryview, answers: Answers, start: int = 0, persistent: Callable[[Any], Any] | None = None
) -> tuple[Any, int]:
    """Run one pickle.

    Args:
        data: bytes that hold it.
        answers: what names give when they are called; others give a :class:`PickledObject`.
        start: where in ``data`` it begins.
        persistent: what the identifiers of things stored elsewhere stand for.

    Returns:
        The object, and the position after the pickle.

    Raises:
        PickleError: see there; also whatever an answer raises over its arguments.
    """
    machine = _Machine(data, answers, start, persistent)
    return machine.run(), machine.position


def _latin(data: bytes) -> str:
    return data.decode("latin1")


def _utf8(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _little_integer(data: bytes) -> int:
    if len(data) > _MAX_INTEGER_BYTES:
        raise PickleError(f"an integer has {len(data)} bytes")
    return int.from_bytes(data, "little", signed=True)


def _line_integer(line: bytes) -> int | bool:
    if line in (b"00", b"01"):  # how protocols 0 and 1 write False and True
        return line == b"01"
    if len(line) > _MAX_INTEGER_BYTES:
        raise PickleError(f"an integer has {len(line)} digits")
    return int(line.rstrip(b"L"))


def _line_text(line: bytes) -> str:
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise PickleError("a text has no quotes")
    return codecs.escape_decode(line[1:-1])[0].decode("latin1")


def _line_unicode(line: bytes) -> str:
    return line.decode("raw-unicode-escape")


_CONSTANTS: dict[int, Any] = {ord("N"): None, 0x88: True, 0x89: False, ord(")"): ()}
_NUMBERS = {ord("J"): "<i", ord("K"): "<B", ord("M"): "<H", ord("G"): ">d"}
_LINES: dict[int, Callable[[bytes], Any]] = {
    ord("I"): _line_integer,
    ord("L"): _line_integer,
    ord("F"): float,
    ord("S"): _line_text,
    ord("V"): _line_unicode,
}
_SIZED: dict[int, tuple[str, Callable[[bytes], Any]]] = {
    ord("T"): ("<i", _latin),
    ord("U"): ("<B", _latin),
    ord("X"): ("<I", _utf8),
    0x8C: ("<B", _utf8),
    0x8D: ("<Q", _utf8),
    ord("B"): ("<I", bytes),
    ord("C"): ("<B", bytes),
    0x8E: ("<Q", bytes),
    0x96: ("<Q", bytes),
    0x8A: ("<B", _little_integer),
    0x8B: ("<i", _little_integer),
}
_PUTS = {ord("q"): "<B", ord("r"): "<I"}
_GETS = {ord("h"): "<B", ord("j"): "<I"}
_TUPLES = {0x85: 1, 0x86: 2, 0x87: 3}


class _Machine:
    def __init__(self, data: memoryview, answers: Answers, start: int, persistent: Callable[[Any], Any] | None) -> None:
        self.data, self.answers, self.position, self.persistent = data, answers, start, persistent
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.number_keys = self.copied = 0

    def run(self) -> Any:
        while True:
            code = self.take(1)[0]
            if code == ord("."):
                return self.pop()
            if code in _SIZED:
                size_format, decode = _SIZED[code]
                self.stack.append(decode(self.take(self.number(size_format))))
            elif code in _GETS:
                self.stack.append(self.recall(self.number(_GETS[code])))
            elif code in _PUTS:
                self.memo[self.number(_PUTS[code])] = self.top()
            elif code in _CONSTANTS:
                self.stack.append(_CONSTANTS[code])
            elif code in _NUMBERS:
                self.stack.append(self.number(_NUMBERS[code]))
            elif code in _LINES:
                self.stack.append(_LINES[code](self.line()))
            elif code in _TUPLES:
                self.stack.append(tuple(self.pop_many(_TUPLES[code])))
            elif code in _STEPS:
                _STEPS[code](self)
            else:
                raise PickleError(f"opcode {code:#04x} at byte {self.position - 1} is not of a data file")

    # -- bytes

    def take(self, count: int) -> bytes:
        if count < 0 or count > len(self.data) - self.position:
            raise PickleError("it ends too early")
        self.position += count
        return bytes(self.data[self.position - count : self.position])

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> bytes:
        """Up to the next line feed, which protocol 0 ends every argument with."""
        pieces: list[bytes] = []
        step = 64
        while True:
            piece = bytes(self.data[self.position : self.position + step])
            end = piece.find(b"\n")
            if end >= 0:
                self.position += end + 1
                return b"".join(pieces) + piece[:end]
            if not piece:
                raise PickleError("it ends too early")
            pieces.append(piece)
            self.position += len(piece)
            step = min(2 * step, 2**20)

    # -- stack and memo

    def top(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise PickleError("its stack runs empty")
        return self.stack[-1]

    def pop(self) -> Any:
        self.top()
        return self.stack.pop()

    def pop_many(self, count: int) -> list[Any]:
        return [self.pop() for _ in range(count)][::-1]

    def pop_mark(self) -> list[Any]:
        """Everything since the last mark."""
        if not self.marks:
            raise PickleError("a mark is missing")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def recall(self, index: int) -> Any:
        if index not in self.memo:
            raise PickleError(f"it refers to object {index}, which does not exist")
        return self.memo[index]

    def drop(self) -> None:
        """The last value, or the last mark where nothing came after it."""
        if self.marks and len(self.stack) == self.marks[-1]:
            self.marks.pop()
        else:
            self.pop()

    # -- steps

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise PickleError("a name is no text")
        if len(module) + len(name) > _MAX_NAME:
            raise PickleError(f"a name has {len(module) + len(name)} letters")
        root = module.split(".")[0]
        if root in _HARMFUL_MODULES or (root in ("builtins", "__builtin__") and name in _HARMFUL_BUILTINS):
            raise PickleError(
                f"it asks to run {module}.{name}, which no data file does: do not open it with other programs"
            )
        self.stack.append(Name(module, name))

    def call(self, function: Any, arguments: Any, keywords: Any = None) -> None:
        if not isinstance(function, Name) or not isinstance(arguments, tuple) or keywords not in (None, {}):
            raise PickleError("it calls what cannot be called")
        # One long argument may be named again and again by a short file; answers copy it each time.
        self.copied += sum(len(a) for a in arguments if isinstance(a, str | bytes | list | tuple | dict))
        if self.copied > 4 * len(self.data) + 4096:
            raise PickleError("it makes more objects than a file of its size holds")
        answer = self.answers.get(function)
        self.stack.append(PickledObject(str(function), arguments) if answer is None else answer(*arguments))

    def build(self) -> None:
        target, state = self.pop_many(2)
        if isinstance(target, PickledObject):
            target.state = state
        elif isinstance(target, StatefulData):
            target.set_state(state)
        elif not isinstance(target, dict):  # an ordered dictionary's attributes (torch: _metadata) mean nothing here
            raise PickleError(f"it gives a state to {type(target).__name__}")
        self.stack.append(target)

    def extend(self, items: list[Any]) -> None:
        target = self.top()
        if isinstance(target, PickledObject):
            target.items.extend(items)
        elif isinstance(target, list):
            target.extend(items)
        else:
            raise PickleError(f"it appends to {type(target).__name__}")

    def set_items(self, items: list[Any]) -> None:
        target = self.top()
        if len(items) % 2 or not isinstance(target, dict | PickledObject):
            raise PickleError("it sets what cannot be set")
        if isinstance(target, PickledObject):
            target.items.extend(zip(items[::2], items[1::2]))
        else:
            self.fill(target, items)

    def fill(self, target: dict[Any, Any], items: list[Any]) -> dict[Any, Any]:
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str):
                self.number_keys += 1
                if not isinstance(key, int | float | bytes | None) or self.number_keys > _MAX_NUMBER_KEYS:
                    raise PickleError(f"a dictionary has keys of type {type(key).__name__}")
            target[key] = value
        return target

    def persist(self, identifier: Any) -> None:
        if self.persistent is None:
            raise PickleError("it refers to things outside")
        self.stack.append(self.persistent(identifier))

    def instance(self, items: list[Any]) -> None:
        """Protocol 0's way to make an object: what stands after the mark are the arguments."""
        module, name = self.line().decode(), self.line().decode()
        self.name(module, name)
        self.call(self.pop(), tuple(items))

    def object(self, items: list[Any]) -> None:
        if not items:
            raise PickleError("its stack runs empty")
        self.call(items[0], tuple(items[1:]))


_STEPS: dict[int, Callable[[_Machine], Any]] = {
    ord("("): lambda m: m.marks.append(len(m.stack)),
    ord("0"): lambda m: m.drop(),
    ord("1"): lambda m: m.pop_mark(),
    ord("2"): lambda m: m.stack.append(m.top()),
    ord("]"): lambda m: m.stack.append([]),
    ord("}"): lambda m: m.stack.append({}),
    0x8F: lambda m: m.stack.append([]),  # a set; as a list nothing of it need be hashed
    ord("l"): lambda m: m.stack.append(m.pop_mark()),
    ord("t"): lambda m: m.stack.append(tuple(m.pop_mark())),
    0x91: lambda m: m.stack.append(tuple(m.pop_mark())),  # a frozen set
    ord("d"): lambda m: m.stack.append(m.fill({}, m.pop_mark())),
    ord("a"): lambda m: m.extend([m.pop()]),
    ord("e"): lambda m: m.extend(m.pop_mark()),
    0x90: lambda m: m.extend(m.pop_mark()),
    ord("s"): lambda m: m.set_items(m.pop_many(2)),
    ord("u"): lambda m: m.set_items(m.pop_mark()),
    ord("c"): lambda m: m.name(m.line().decode(), m.line().decode()),
    0x93: lambda m: m.name(*m.pop_many(2)),
    ord("R"): lambda m: m.call(*m.pop_many(2)),
    0x81: lambda m: m.call(*m.pop_many(2)),
    0x92: lambda m: m.call(*m.pop_many(3)),
    ord("i"): lambda m: m.instance(m.pop_mark()),
    ord("o"): lambda m: m.object(m.pop_mark()),
    ord("b"): lambda m: m.build(),
    ord("g"): lambda m: m.stack.append(m.recall(int(m.line()))),
    ord("p"): lambda m: m.memo.__setitem__(int(m.line()), m.top()),
    0x94: lambda m: m.memo.__setitem__(len(m.memo), m.top()),
    ord("P"): lambda m: m.persist(m.line().decode("latin1")),
    ord("Q"): lambda m: m.persist(m.pop()),
    0x80: lambda m: m.take(1),
    0x95: lambda m: m.take(8),
}
