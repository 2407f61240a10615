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
                # Plain values, such as those of Protection, are described with their class.
                if not method.startswith("_") and (inspect.isroutine(member) or inspect.isdatadescriptor(member)):
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


def test_the_readmes_script_runs(capsys):
    readme = (Path(__file__).resolve().parents[1] / "README.md").read_text()
    script = readme.split("```python\n")[1].split("```")[0]
    assert len(script.splitlines()) <= 25
    exec(compile(script, "README.md", "exec"), {})
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == ["faulty", "secded-72-64", "in-place-64-57"]
    assert [row[1] for row in rows] == ["0.0%", "12.5%", "0.0%"]
    wrong = [float(row[3]) for row in rows]
    assert wrong[0] > 50 > 5 > max(wrong[1:]) > 0
