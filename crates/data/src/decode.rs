//! One JPEG or PNG image to `u8`.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::{ImageShape, MAX_SIDE};

/// A decoded image, rows from the top, pixels from the left.
pub(crate) struct Raster {
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// 1 (grey) or 3 (red, green, blue).
    pub(crate) channels: usize,
    /// Bytes a pixel; those after the first `channels` do not count (alpha).
    pub(crate) samples: usize,
    /// `height * width * samples` bytes.
    pub(crate) pixels: Vec<u8>,
}

/// The largest image that is decoded; a header that declares more is refused before memory is reserved.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Pixels along a side.
    pub(crate) side: usize,
    /// Pixels in all.
    pub(crate) pixels: usize,
}

/// The most pixels that a byte of a file can stand for. In JPEG a block of 64 pixels takes a bit at least, that of
/// its mean. In PNG, a byte of deflate expands to at most 1032, each of 8 pixels of one bit.
const JPEG_PIXELS_A_BYTE: usize = 8 * 64;
const PNG_PIXELS_A_BYTE: usize = 1032 * 8;

/// Scans of a JPEG. Progressive files have about ten.
const MAX_SCANS: usize = 256;

/// Of an image that becomes part of an [`ImageSet`](crate::ImageSet) as it is.
const WHOLE: Limits = Limits { side: MAX_SIDE, pixels: MAX_SIDE * MAX_SIDE };

/// Shape and pixels of an image, in CHW order; the text says why there is none.
pub(crate) fn decode(bytes: &[u8]) -> Result<(ImageShape, Vec<u8>), String> {
    Ok(raster(bytes, WHOLE)?.planar())
}

/// Decodes an image; the text says why there is none.
///
/// JPEG and PNG are told apart by their first bytes. The image has one channel where the file is grey, and
/// three otherwise. Of JPEG, CMYK and YCCK are taken to be inverted, as Adobe's programs and Pillow do, and
/// become RGB. Of PNG, palettes are looked up, 16-bit samples keep their high byte, and alpha is dropped, not
/// blended.
pub(crate) fn raster(bytes: &[u8], limits: Limits) -> Result<Raster, String> {
    if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
        jpeg(bytes, limits)
    } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        png(bytes, limits)
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
fn jpeg(bytes: &[u8], limits: Limits) -> Result<Raster, String> {
    // The decoder, even in strict mode, fills up an image that is cut off inside its last rows. Bytes after
    // the end marker are allowed; an end marker before the last scan is that of an embedded thumbnail.
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    if last([0xff, 0xd9]) <= last([0xff, 0xda]) {
        return Err("JPEG without an end marker (ff d9) after its last scan: cut off".into());
    }
    // Every scan goes over the whole image again, and is a few bytes long.
    let scans = bytes.windows(2).filter(|pair| *pair == [0xff, 0xda]).count();
    if scans > MAX_SCANS {
        return Err(format!("JPEG of {scans} scans, expected at most {MAX_SCANS}"));
    }
    let options = DecoderOptions::default()
        .set_use_unsafe(false)
        .set_strict_mode(true)
        .set_max_width(limits.side)
        .set_max_height(limits.side)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    // Some of the decoder's messages end their line.
    let failed = |error| format!("not a sound JPEG: {error}").trim_end().to_string();
    decoder.decode_headers().map_err(failed)?;
    let info = decoder.info().ok_or("not a sound JPEG: no frame header")?;
    let channels = match info.components {
        1 => {
            decoder.set_options(options.jpeg_set_out_colorspace(ColorSpace::Luma));
            1
        }
        3 | 4 => 3,
        components => {
            return Err(format!("JPEG of {components} components, expected 1, 3 or 4"));
        }
    };
    let (height, width) = (info.height.into(), info.width.into());
    check_size(height, width, limits)?;
    check_claim(bytes.len(), height * width, JPEG_PIXELS_A_BYTE)?;
    let pixels = decoder.decode().map_err(failed)?;
    Raster::new(height, width, channels, channels, pixels)
}

fn png(bytes: &[u8], limits: Limits) -> Result<Raster, String> {
    let failed = |error| format!("not a sound PNG: {error}");
    let mut decoder = png::Decoder::new(bytes);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let (width, height) = decoder.read_header_info().map_err(failed)?.size();
    let (height, width) = (height as usize, width as usize);
    check_size(height, width, limits)?;
    check_claim(bytes.len(), height * width, PNG_PIXELS_A_BYTE)?;
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
    Raster::new(height, width, channels, frame.color_type.samples(), interleaved)
}

fn check_size(height: usize, width: usize, limits: Limits) -> Result<(), String> {
    if !(1..=limits.side).contains(&height) || !(1..=limits.side).contains(&width) {
        return Err(format!("{height} rows of {width} pixels, expected 1 to {} of each", limits.side));
    }
    if height * width > limits.pixels {
        return Err(format!("{height} rows of {width} pixels, expected at most {} pixels", limits.pixels));
    }
    Ok(())
}

/// Refuses a size that a file of so many bytes cannot fill, before memory is reserved for it.
fn check_claim(bytes: usize, pixels: usize, pixels_a_byte: usize) -> Result<(), String> {
    if pixels > bytes.saturating_mul(pixels_a_byte) {
        return Err(format!("{bytes} bytes, too few for the {pixels} pixels that the header declares"));
    }
    Ok(())
}

impl Raster {
    /// Checks that there are as many bytes as the size calls for.
    fn new(
        height: usize,
        width: usize,
        channels: usize,
        samples: usize,
        pixels: Vec<u8>,
    ) -> Result<Self, String> {
        let expected = height * width * samples;
        if pixels.len() != expected {
            return Err(format!(
                "{} decoded bytes, expected {expected} for {height} rows of {width} pixels",
                pixels.len()
            ));
        }
        Ok(Self { height, width, channels, samples, pixels })
    }

    /// HWC to CHW, without the samples that do not count.
    fn planar(&self) -> (ImageShape, Vec<u8>) {
        let shape = ImageShape { channels: self.channels, height: self.height, width: self.width };
        let mut planes = Vec::with_capacity(shape.image_bytes());
        for channel in 0..self.channels {
            planes.extend(self.pixels.chunks_exact(self.samples).map(|pixel| pixel[channel]));
        }
        (shape, planes)
    }
}
