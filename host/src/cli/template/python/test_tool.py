"""Runs on this machine, without a sandbox: python3 -m unittest"""

import unittest

from tool import Tools, my_tool
from tool_sdk import InvalidInput


class TestTool(unittest.TestCase):
    def test_it_writes_capital_letters(self):
        self.assertEqual(my_tool("hello"), {"text": "HELLO"})

    def test_it_wants_a_text(self):
        with self.assertRaisesRegex(InvalidInput, "empty"):
            my_tool("")

    def test_the_model_is_told_what_it_takes(self):
        [told] = Tools.described()
        self.assertEqual(told["input"]["required"], ["text"])
        self.assertEqual(told["input"]["properties"]["text"]["description"], "The text to work on.")


if __name__ == "__main__":
    unittest.main()
