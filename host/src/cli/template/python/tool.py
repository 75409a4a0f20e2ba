"""A tool: each function with `@tool` is one. Its text in quotes is what the model reads."""

from typing import Annotated, TypedDict

from tool_sdk import InvalidInput, Tools, tool  # the host calls `Tools`

__all__ = ["Tools"]


class Output(TypedDict):
    text: Annotated[str, "The text, in capital letters."]


@tool
def my_tool(text: Annotated[str, "The text to work on."]) -> Output:
    """Writes a text in capital letters."""
    if not text:
        raise InvalidInput("the text is empty; give one")
    return {"text": text.upper()}
