"""Runs what a model writes. The instance of the call is the sandbox: it reaches no file, no network and no other call."""

import ast
import contextlib
import io
import math
import traceback
from typing import Annotated, Any, TypedDict

# What a program may import has to be there when the component is made: in the sandbox there are no files.
import array, base64, bisect, calendar, cmath, collections, copy, csv, dataclasses, datetime, decimal, difflib, enum  # noqa: E401, F401
import fractions, functools, hashlib, heapq, html, html.parser, itertools, json, numbers, operator, pprint, random, re  # noqa: E401, F401
import statistics, string, struct, textwrap, time, typing, unicodedata, urllib.parse, uuid, zlib  # noqa: E401, F401

from tool_sdk import InvalidInput, Tools, tool  # the host calls `Tools`

__all__ = ["Tools"]

# What was printed is for the model to read, and not what was computed.
PRINTED_CHARS_MAX = 32 * 1024
CODE_CHARS_MAX = 256 * 1024
DEPTH_MAX = 64
NAME = "<program>"


class Output(TypedDict):
    value: Annotated[Any, "The value. What JSON does not have is a string, as Python writes it."]
    printed: Annotated[str, "What was printed."]
    is_printed_cut: Annotated[bool, "Whether more was printed."]


class Printed(io.TextIOBase):
    """What a program prints, as far as there is room for it."""

    def __init__(self):
        self.text, self.is_cut = "", False

    def write(self, text):
        room = PRINTED_CHARS_MAX - len(self.text)
        self.is_cut = self.is_cut or len(text) > room
        if room > 0:
            self.text += text[:room]
        return len(text)

    def writable(self):
        return True


@tool
def run_python(
    code: Annotated[str, "The program, such as `sum(it['price'] for it in input)`. It has no `return`."],
    input: Annotated[Any, "Any JSON; the program reads it as `input`."] = None,
) -> Output:
    """Runs Python 3 and gives the value of its last expression, as JSON.

    Use it to compute, to change the shape of data, or to check an idea. The variable `input` is what is given beside the
    code. There are the language and most of its standard library, and no packages, files, network or threads. What is
    printed is given, too. Nothing is left of a call for the next one.
    """
    if len(code) > CODE_CHARS_MAX:
        raise InvalidInput(f"a program has {CODE_CHARS_MAX} characters at most")
    # Its state was made with the component, and would be the same in each call.
    random.seed()
    printed, value = Printed(), None
    try:
        program = ast.parse(code, NAME)
        last = program.body.pop() if program.body and isinstance(program.body[-1], ast.Expr) else None
        names = {"__name__": "__main__", "input": input}
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            exec(compile(program, NAME, "exec"), names)
            if last is not None:
                value = eval(compile(ast.Expression(last.value), NAME, "eval"), names)
        value = plain(value, ())
    except InvalidInput:
        raise
    except SystemExit as error:
        raise InvalidInput(f"the program ended itself with {error.code!r}: let its last line be its value") from None
    except BaseException as error:
        raise InvalidInput(told(error)) from None
    return {"value": value, "printed": printed.text, "is_printed_cut": printed.is_cut}


def plain(value, above):
    """A value as JSON has it. `above` are those that it stands in."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if type(value) is int:
        # Beyond this many digits Python writes none, and no model reads them.
        return value if value.bit_length() < 14_000 else hex(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if id(value) in above or len(above) >= DEPTH_MAX:
        raise InvalidInput(f"the value stands in itself, or is nested more than {DEPTH_MAX} deep: give a part of it")
    within = (*above, id(value))
    if isinstance(value, dict):
        return {key if isinstance(key, str) else repr(key): plain(it, within) for key, it in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(it, within) for it in value]
    return str(value)


def told(error):
    """An exception with the lines of the program in which it arose."""
    lines = traceback.format_exception_only(error)
    places = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == NAME]
    return "".join(lines).rstrip() + "".join(f"\nin line {frame.lineno}, {frame.name}" for frame in places[-10:])
