"""The examples in the docstrings, of the extension's classes too, print what they show."""

import doctest
import inspect
from pathlib import Path

import zerospace

NAMES = {"zerospace": zerospace, "REPOSITORY": Path(__file__).resolve().parents[2]}


def documented():
    """Everything public with a docstring, by its name."""
    yield "zerospace", zerospace.__doc__
    for name in zerospace.__all__:
        item = getattr(zerospace, name)
        yield f"zerospace.{name}", inspect.getdoc(item)
        if inspect.isclass(item):
            for method, member in vars(item).items():
                if not method.startswith("_"):
                    yield f"zerospace.{name}.{method}", inspect.getdoc(member)


def test_everything_public_has_a_docstring():
    assert [name for name, text in documented() if not text] == []


def test_the_examples_print_what_they_show():
    runner, found = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS), 0
    for name, text in documented():
        example = doctest.DocTestParser().get_doctest(text, dict(NAMES), name, None, 0)
        found += len(example.examples)
        runner.run(example)
    assert runner.failures == 0 and found > 0
