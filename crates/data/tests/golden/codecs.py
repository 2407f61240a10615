"""Makes the files of codecs/: Python 3.11.7, numpy 2.4.6, pyarrow 26.0.1, Pillow 13.0.0.

Every file has the same seven rows of pixels; codecs and page versions differ. pyarrow's `lz4` is LZ4_RAW.
`lz4-hadoop-*` (the codec LZ4) hold the same PNG bytes; the crate parquet 60.1 wrote them with its feature `lz4`.

python3 codecs.py codecs
"""
import io
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

out = sys.argv[1]


def pixels(index):
    """As `pixels` of fixtures.rs, CHW."""
    i = np.arange(3 * 4 * 4)
    return ((i * 7 + i // 32 * 3 + index * 31) % 251).astype(np.uint8).reshape(3, 4, 4)


def png(index):
    file = io.BytesIO()
    Image.fromarray(pixels(index).transpose(1, 2, 0)).save(file, "PNG", optimize=True)
    return file.getvalue()


rows = [{"img": {"bytes": png(i % 5), "path": f"{i}.png"}, "label": i % 3} for i in range(7)]
schema = pa.schema(
    [
        ("img", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("label", pa.int64()),
    ]
)
table = pa.Table.from_pylist(rows, schema=schema)
for codec in ["snappy", "gzip", "brotli", "zstd", "lz4"]:
    for version in ["1.0", "2.0"]:
        pq.write_table(
            table,
            f"{out}/{codec}-{version[0]}.parquet",
            compression=codec,
            data_page_version=version,
            row_group_size=4,
            store_schema=False,
            write_statistics=False,
            use_dictionary=["label"] if version == "1.0" else False,
        )
