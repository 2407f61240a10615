"""Runs: their tables as other programs read them, their figure and their report."""

import csv
from pathlib import Path

import pytest

import zerospace

RESULTS = Path(__file__).resolve().parents[2] / "results"
COMMITTED = RESULTS / "reproduce"


@pytest.fixture(scope="module")
def run():
    return zerospace.open_run(COMMITTED)


@pytest.mark.parametrize("method, file", [("summary", "summary"), ("outcomes", "outcomes"), ("pairs", "paired")])
def test_tables_are_those_of_the_committed_report(run, method, file):
    table = getattr(run, method)()
    with open(COMMITTED / f"{file}.csv", newline="") as text:
        header, *rows = csv.reader(text)
    assert table.columns == header and len(table) == len(rows)
    for name, values in table.to_dict().items():
        column = [row[header.index(name)] for row in rows]
        if isinstance(values[0], str):
            assert values == column
        else:
            assert values == [None if text == "" else float(text) for text in column]


def test_trials_have_the_counts_and_hashes_of_the_records(run):
    trials = run.trials()
    assert len(trials) == 480 and len(trials.columns) == 28
    first = {name: values[0] for name, values in trials.to_dict().items()}
    assert first["cell"] and first["trial"] == 0 and first["seed"] == 2019
    assert all(len(first[name]) == 16 for name in ["pattern_hash", "weights_hash", "predictions_hash"])


def test_pyarrow_reads_a_table(run):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    table = run.trials()
    read = pyarrow.table(table)
    assert read.to_pydict() == table.to_dict() and read.validate(full=True) is None
    assert pyarrow.schema(table) == read.schema
    again = pyarrow.RecordBatchReader.from_stream(table).read_all()
    assert again.equals(read)
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    stored = parquet.read_table(COMMITTED / "trials.parquet").to_pydict()
    for name in set(stored) & set(read.column_names):
        assert read[name].to_pylist() == stored[name], name
    assert {"pattern_hash", "weights_hash", "predictions_hash", "correct"} <= set(stored) & set(read.column_names)


def test_a_stream_outlives_its_table(run):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    reader = pyarrow.RecordBatchReader.from_stream(zerospace.open_run(COMMITTED).summary())
    assert reader.read_all().num_rows == 48
    unread = run.summary().__arrow_c_stream__()
    del unread


def test_polars_reads_a_table(run):
    polars = pytest.importorskip("polars", reason="polars is not installed")
    assert polars.DataFrame(run.pairs()).to_dict(as_series=False) == run.pairs().to_dict()


def test_pandas_reads_a_table(run):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    if not hasattr(pandas.DataFrame, "from_arrow"):
        pytest.skip("pandas is older than 3.0, which reads Arrow's interface")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed; pandas needs it")
    assert list(pandas.DataFrame.from_arrow(run.summary()).columns) == run.summary().columns


def test_a_notebook_shows_the_figure_and_the_first_and_last_rows(run):
    assert run._repr_svg_().startswith("<svg") and "resnet18" in run._repr_svg_()
    assert run._repr_html_().startswith("<svg") and run._repr_html_().endswith("<p>48 rows, 20 of them shown</p>")
    html = run.trials()._repr_html_()
    assert html.count("<tr>") == 21 and html.endswith("<p>480 rows, 20 of them shown</p>")
    assert "<th>fault_model</th>" in html and "<td>fixed-count</td>" in html


def test_the_report_has_the_bytes_of_the_committed_one(run, tmp_path):
    written = run.report(tmp_path / "report")
    assert [path.name for path in written][-1] == "report.md"
    for path in written:
        assert path.read_bytes() == (COMMITTED / path.name).read_bytes(), path.name


def test_every_committed_run_opens():
    opened = [zerospace.open_run(trials.parent) for trials in sorted(RESULTS.glob("*/trials.parquet"))]
    assert len(opened) > 5
    assert all(len(run.trials()) > 0 and len(run.summary()) > 0 for run in opened)


def test_a_missing_or_damaged_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="manifest.json"):
        zerospace.open_run(tmp_path)
    (tmp_path / "manifest.json").write_bytes((COMMITTED / "manifest.json").read_bytes())
    with pytest.raises(FileNotFoundError, match="trials.parquet"):
        zerospace.open_run(tmp_path)
    (tmp_path / "trials.parquet").write_bytes(b"PAR1 damaged PAR1")
    with pytest.raises((ValueError, OSError), match="trials"):
        zerospace.open_run(tmp_path)
