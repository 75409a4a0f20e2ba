"""Runs on this machine, without a sandbox: python3 -m unittest"""

import unittest

from tool import run_python
from tool_sdk import InvalidInput


def value(code, input=None):
    return run_python(code, input)["value"]


class Test(unittest.TestCase):
    def test_it_gives_the_value_of_the_last_expression(self):
        self.assertEqual(value("a = 1\na + 1"), 2)
        self.assertEqual(value("[it * 2 for it in input]", [1, 2]), [2, 4])
        self.assertIsNone(value("a = 1"))
        self.assertEqual(value("def f(n): return 1 if n < 2 else n * f(n - 1)\nf(20)"), 2432902008176640000)

    def test_what_json_does_not_have_is_a_text(self):
        self.assertEqual(value("[float('inf'), {1: (2, {3})}, 1j]"), ["inf", {"1": [2, [3]]}, "1j"])
        self.assertEqual(value("from decimal import Decimal\nDecimal('0.1') + 1"), "1.1")
        self.assertEqual(value("2 ** 100"), 2**100)

    def test_what_is_printed_is_cut(self):
        ran = run_python("print('a', 1)")
        self.assertEqual((ran["printed"], ran["value"], ran["is_printed_cut"]), ("a 1\n", None, False))
        much = run_python("for _ in range(100_000): print('x' * 100)")
        self.assertTrue(much["is_printed_cut"] and len(much["printed"]) == 32 * 1024)

    def test_a_mistake_is_told_with_its_line(self):
        for code, says in [
            ("1\nnothing", "NameError: name 'nothing' is not defined\nin line 2"),
            ("a = = 1", "SyntaxError"),
            ("import sys\nsys.exit(3)", "ended itself with 3"),
            ("a = []\na.append(a)\na", "stands in itself"),
            ("def f(): f()\nf()", "RecursionError"),
        ]:
            with self.assertRaises(InvalidInput) as caught:
                value(code)
            self.assertIn(says, str(caught.exception))
