//! One JPEG or PNG image to `u8` in CHW order.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::{ImageShape, MAX_SIDE};

/// Shape and pixels of an image, in CHW order; the text says why there is none.
///
/// JPEG and PNG are told apart by their first bytes. The image has one channel where the file is grey, and
/// three otherwise. Of PNG, palettes are looked up, 16-bit samples keep their high byte, and alpha is
/// dropped, not blended.
pub(crate) fn decode(bytes: &[u8]) -> Result<(ImageShape, Vec<u8>), String> {
    if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
        jpeg(bytes)
    } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        png(bytes)
    } else {
        let head: Vec<String> = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
        Err(format!(
            "{} bytes that begin with [{}], expected JPEG (ff d8 ff) or PNG (89 50 4e 47 0d 0a 1a 0a)",
            bytes.len(),
            head.join(" ")
        ))
    }
}

/// Decoded pixels enter a content hash and must be the same on every machine, so the decoder's vector paths,
/// which need not round as its scalar ones do, are off.
fn jpeg(bytes: &[u8]) -> Result<(ImageShape, Vec<u8>), String> {
    // The decoder, even in strict mode, fills up an image that is cut off inside its last rows.
    if !bytes.ends_with(&[0xff, 0xd9]) {
        return Err("JPEG without an end marker (ff d9) as its last bytes: cut off".into());
    }
    let options = DecoderOptions::default()
        .set_use_unsafe(false)
        .set_strict_mode(true)
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let failed = |error| format!("not a sound JPEG: {error}");
    decoder.decode_headers().map_err(failed)?;
    let info = decoder.info().ok_or("not a sound JPEG: no frame header")?;
    let channels = match info.components {
        1 => {
            decoder.set_options(options.jpeg_set_out_colorspace(ColorSpace::Luma));
            1
        }
        3 => 3,
        components => {
            return Err(format!("JPEG of {components} components, expected 1 or 3"));
        }
    };
    let shape = checked_shape(channels, info.height.into(), info.width.into())?;
    let interleaved = decoder.decode().map_err(failed)?;
    planar(shape, &interleaved, channels)
}

fn png(bytes: &[u8]) -> Result<(ImageShape, Vec<u8>), String> {
    let failed = |error| format!("not a sound PNG: {error}");
    let mut decoder = png::Decoder::new(bytes);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let (width, height) = decoder.read_header_info().map_err(failed)?.size();
    let (height, width) = (height as usize, width as usize);
    checked_shape(3, height, width)?;
    let mut reader = decoder.read_info().map_err(failed)?;
    let mut interleaved = vec![0; reader.output_buffer_size()];
    let frame = reader.next_frame(&mut interleaved).map_err(failed)?;
    if (frame.height as usize, frame.width as usize) != (height, width) {
        return Err(format!(
            "PNG animation whose first frame is {}x{}, expected {height}x{width}",
            frame.height, frame.width
        ));
    }
    let channels = match frame.color_type {
        png::ColorType::Grayscale | png::ColorType::GrayscaleAlpha => 1,
        png::ColorType::Rgb | png::ColorType::Rgba | png::ColorType::Indexed => 3,
    };
    let shape = checked_shape(channels, height, width)?;
    planar(shape, &interleaved, frame.color_type.samples())
}

fn checked_shape(channels: usize, height: usize, width: usize) -> Result<ImageShape, String> {
    let shape = ImageShape { channels, height, width };
    if shape.is_allowed() {
        Ok(shape)
    } else {
        Err(format!("{height} rows of {width} pixels, expected 1 to {MAX_SIDE} of each"))
    }
}

/// HWC with `samples` bytes a pixel to CHW, keeping the first `shape.channels` samples of each pixel.
fn planar(shape: ImageShape, interleaved: &[u8], samples: usize) -> Result<(ImageShape, Vec<u8>), String> {
    let expected = shape.height * shape.width * samples;
    if interleaved.len() != expected {
        return Err(format!("{} decoded bytes, expected {expected} for shape {shape}", interleaved.len()));
    }
    let mut planes = Vec::with_capacity(shape.image_bytes());
    for channel in 0..shape.channels {
        planes.extend(interleaved.chunks_exact(samples).map(|pixel| pixel[channel]));
    }
    Ok((shape, planes))
}
