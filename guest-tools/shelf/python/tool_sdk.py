"""What a tool in Python is written with. `host new` wrote this file; it is yours to change.

Each call has an instance of its own, which is dropped after the call.
"""

import inspect
import json
import types
import typing

__all__ = ["Failed", "InvalidInput", "Tools", "Transient", "context", "log", "tool"]


class ToolError(Exception):
    """A failed call. The model reads the message: it says what to do differently."""


class InvalidInput(ToolError):
    """The input is not what the tool takes. The model is expected to correct it."""


class Transient(ToolError):
    """It failed for a reason that may pass. Trying again may help."""


class Failed(ToolError):
    """It failed, and trying again will not help. Any other exception says the same."""


_tools = {}


def tool(function):
    """Makes a tool of a function.

    Its text in quotes is what the model reads: what the tool does, when to use it and what it returns. The types of its
    parameters and of its result become JSON Schemas. `Annotated[str, "…"]` describes one; a parameter with a default may
    be left out.
    """
    if not inspect.getdoc(function):
        raise TypeError(f"{function.__name__} has no text in quotes that tells the model what it does")
    _tools[function.__name__] = function
    return function


# `Required` and `NotRequired`, where Python has them.
_MARKS = tuple(getattr(typing, name) for name in ("Required", "NotRequired") if hasattr(typing, name))
_PLAIN = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def _schema(kind):
    """The JSON Schema of a type."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return {**_schema(parts[0]), "description": parts[1]}
    if origin is not None and origin in _MARKS:
        return _schema(parts[0])
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if kind is typing.Any or kind is inspect.Parameter.empty:
        return {}
    if origin is typing.Literal:
        return {"enum": list(parts)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(part) for part in parts]}
    if kind is list or origin is list:
        return {"type": "array", "items": _schema(parts[0]) if parts else {}}
    if kind is dict or origin is dict:
        return {"type": "object", "additionalProperties": _schema(parts[1]) if parts else {}}
    if typing.is_typeddict(kind):
        members = typing.get_type_hints(kind, include_extras=True)
        return _object(members, sorted(kind.__required_keys__))
    raise TypeError(f"a tool can neither take nor give {kind}: use str, bool, int, float, list, dict or a TypedDict")


def _object(members, required):
    return {
        "type": "object",
        "properties": {name: _schema(kind) for name, kind in members.items()},
        "required": required,
        "additionalProperties": False,
    }


def _described(function):
    """What the host is told of a tool."""
    hints = typing.get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters
    members = {name: hints.get(name, inspect.Parameter.empty) for name in parameters}
    required = [name for name, it in parameters.items() if it.default is inspect.Parameter.empty]
    return {
        "name": function.__name__,
        "description": inspect.getdoc(function),
        "input": _object(members, required),
        "output": _schema(hints["return"]) if "return" in hints else None,
    }


class Tools:
    """The tools of this component, as the host sees them."""

    @staticmethod
    def described():
        return [_described(function) for function in _tools.values()]

    def list_tools(self):
        text = lambda schema: None if schema is None else json.dumps(schema)  # noqa: E731
        return [
            ToolDefinition(it["name"], it["description"], text(it["input"]), text(it["output"]))
            for it in self.described()
        ]

    def call(self, name, input):
        try:
            return json.dumps(_tools[name](**json.loads(input)), ensure_ascii=False, allow_nan=False)
        except InvalidInput as error:
            raise Err(ToolError_InvalidInput(str(error))) from None
        except Transient as error:
            raise Err(ToolError_Transient(str(error))) from None
        except Failed as error:
            raise Err(ToolError_Failed(str(error))) from None
        # An exception that nobody catches would end the instance, and the model would not read why.
        except Exception as error:
            raise Err(ToolError_Failed(f"{type(error).__name__}: {error}")) from None


try:
    from componentize_py_types import Err
    from wit_world.imports import context as _context
    from wit_world.imports import log as _log
    from wit_world.imports.types import (
        ToolDefinition,
        ToolError_Failed,
        ToolError_InvalidInput,
        ToolError_Transient,
    )
except ImportError:
    # On this machine, in a test, nobody listens and there is no call.
    _context = _log = None


def log(message, level="info"):
    """Writes a line for the person who runs the agent. The model does not see it. Levels: trace, debug, info, warn, error."""
    if _log is not None:
        _log.log(_log.Level[level.upper()], message)


def context():
    """What is known of the call: call_id, idempotency_key, attempt, deadline_ms. None on this machine, in a test."""
    return None if _context is None else _context.current()
