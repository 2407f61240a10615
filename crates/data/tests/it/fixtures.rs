//! Makes files for tests, and the pixels that they hold.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

/// Image `index` of an artificial set. Bytes differ between images, channels and pixels.
pub(crate) fn pixels(index: usize, image_bytes: usize) -> Vec<u8> {
    (0..image_bytes).map(|i| ((i * 7 + i / 32 * 3 + index * 31) % 251) as u8).collect()
}

/// An array in NumPy's format 1, with the header that `numpy.save` 2.4 writes.
pub(crate) fn npy(descr: &str, fortran: &str, shape: &str, elements: &[u8]) -> Vec<u8> {
    npy_with_header(
        &format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}"),
        elements,
    )
}

pub(crate) fn npy_with_header(header: &str, elements: &[u8]) -> Vec<u8> {
    let header = format!("{header:117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(elements);
    bytes
}

/// A PNG of CHW pixels with 1 or 3 channels.
pub(crate) fn png_of(chw: &[u8], channels: usize, height: usize, width: usize) -> Vec<u8> {
    let color = if channels == 1 { png::ColorType::Grayscale } else { png::ColorType::Rgb };
    let plane = height * width;
    let hwc: Vec<u8> = (0..plane).flat_map(|i| (0..channels).map(move |c| chw[c * plane + i])).collect();
    png_raw(color, png::BitDepth::Eight, height, width, &hwc, None)
}

pub(crate) fn png_raw(
    color: png::ColorType,
    depth: png::BitDepth,
    height: usize,
    width: usize,
    data: &[u8],
    palette: Option<&[u8]>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if let Some(palette) = palette {
        encoder.set_palette(palette.to_vec());
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(data).unwrap();
    writer.finish().unwrap();
    bytes
}

/// A row of a parquet file: image bytes and label; `None` is null.
pub(crate) type Row = (Option<Vec<u8>>, Option<i64>);

pub(crate) const HUGGING_FACE: &str = "message schema { optional group img { optional binary bytes; optional binary path (UTF8); } optional int64 label; }";

pub(crate) fn plain() -> WriterPropertiesBuilder {
    WriterProperties::builder().set_compression(Compression::UNCOMPRESSED).set_dictionary_enabled(false)
}

pub(crate) fn snappy() -> WriterPropertiesBuilder {
    WriterProperties::builder().set_compression(Compression::SNAPPY).set_dictionary_enabled(true)
}

/// Writes row groups under a schema whose leaves are image bytes, path and label, all optional.
pub(crate) fn write_parquet(
    path: &Path,
    schema: &str,
    properties: WriterPropertiesBuilder,
    groups: &[&[Row]],
) {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(properties.build());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, properties).unwrap();
    for rows in groups {
        let mut group = writer.next_row_group().unwrap();

        let values: Vec<ByteArray> = rows.iter().flat_map(|r| r.0.clone()).map(ByteArray::from).collect();
        let levels: Vec<i16> = rows.iter().map(|r| if r.0.is_some() { 2 } else { 1 }).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
        column.close().unwrap();

        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&[], Some(&vec![1; rows.len()]), None).unwrap();
        column.close().unwrap();

        let values: Vec<i64> = rows.iter().flat_map(|r| r.1).collect();
        let levels: Vec<i16> = rows.iter().map(|r| i16::from(r.1.is_some())).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&values, Some(&levels), None).unwrap();
        column.close().unwrap();

        group.close().unwrap();
    }
    writer.close().unwrap();
}

/// Returns `count` rows of 3x32x32 PNG images, with labels from 0 to `classes - 1` in turn.
pub(crate) fn png_rows(first: usize, count: usize, classes: i64) -> Vec<Row> {
    (first..first + count)
        .map(|i| {
            let png = png_of(&pixels(i, 3072), 3, 32, 32);
            (Some(png), Some(i as i64 % classes))
        })
        .collect()
}

/// An IDX file of unsigned bytes.
pub(crate) fn idx_bytes(magic: u32, sizes: &[u32], body: &[u8]) -> Vec<u8> {
    let mut bytes = magic.to_be_bytes().to_vec();
    for size in sizes {
        bytes.extend(size.to_be_bytes());
    }
    bytes.extend(body);
    bytes
}
