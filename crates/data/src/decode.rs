//! Decodes one JPEG or PNG image to `u8`.

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
    /// Bytes of a pixel in `pixels`. Bytes after the first `channels` (alpha) are ignored.
    pub(crate) samples: usize,
    /// `height * width * samples` bytes.
    pub(crate) pixels: Vec<u8>,
}

/// The largest image that is decoded. A header that declares more is refused before memory is reserved.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Pixels along a side.
    pub(crate) side: usize,
    /// Pixels of the whole image.
    pub(crate) pixels: usize,
}

/// The largest number of pixels that a byte of a file can encode. In JPEG, a block of 64 pixels takes at
/// least one bit, for its mean. In PNG, a byte of deflate expands to at most 1032 bytes, each of which holds
/// 8 pixels of one bit.
const JPEG_PIXELS_A_BYTE: usize = 8 * 64;
const PNG_PIXELS_A_BYTE: usize = 1032 * 8;

/// The largest number of scans of a JPEG. Progressive files have about ten.
const MAX_SCANS: usize = 256;

/// Limits for an image that enters an [`ImageSet`](crate::ImageSet) without resizing.
const WHOLE: Limits = Limits { side: MAX_SIDE, pixels: MAX_SIDE * MAX_SIDE };

/// Returns shape and pixels of an image, in CHW order. The error states why it cannot be decoded.
pub(crate) fn decode(bytes: &[u8]) -> Result<(ImageShape, Vec<u8>), String> {
    Ok(raster(bytes, WHOLE)?.planar())
}

/// Decodes an image. The error states why it cannot be decoded.
///
/// The first bytes tell JPEG from PNG. The image has one channel if the file is grey, and three otherwise.
/// CMYK and YCCK in JPEG are taken to be inverted, as Adobe's programs and Pillow do, and become RGB. In PNG,
/// palettes are looked up, 16-bit samples keep their high byte, and alpha is dropped without blending.
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

/// Decodes a JPEG. Decoded pixels enter a content hash and must be the same on every machine. The decoder's
/// vector code may round differently from its scalar code, so it is off.
fn jpeg(bytes: &[u8], limits: Limits) -> Result<Raster, String> {
    // Even in strict mode, the decoder fills in the last rows of a file that is cut off. Bytes after
    // the end marker are allowed. An end marker before the last scan belongs to an embedded thumbnail.
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    if last([0xff, 0xd9]) <= last([0xff, 0xda]) {
        return Err("JPEG without an end marker (ff d9) after its last scan: the file is cut off".into());
    }
    // A scan of a few bytes makes the decoder pass over the whole image again.
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
    // Some messages of the decoder end with a line break.
    let failed = |error| format!("not a valid JPEG: {error}").trim_end().to_string();
    decoder.decode_headers().map_err(failed)?;
    let info = decoder.info().ok_or("not a valid JPEG: no frame header")?;
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
    let failed = |error| format!("not a valid PNG: {error}");
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

/// Refuses a size that a file of `bytes` bytes cannot fill, before memory is reserved for it.
fn check_claim(bytes: usize, pixels: usize, pixels_a_byte: usize) -> Result<(), String> {
    if pixels > bytes.saturating_mul(pixels_a_byte) {
        return Err(format!("{bytes} bytes, too few for the {pixels} pixels that the header declares"));
    }
    Ok(())
}

impl Raster {
    /// Checks that the number of bytes matches the size.
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

    /// Converts colour to grey as Pillow's mode L.
    pub(crate) fn grey(&self) -> Self {
        let luma = |pixel: &[u8]| {
            let weighted =
                [19595, 38470, 7471].iter().zip(pixel).map(|(weight, &value)| weight * u32::from(value));
            ((weighted.sum::<u32>() + (1 << 15)) >> 16) as u8
        };
        let pixels = self.pixels.chunks_exact(self.samples).map(luma).collect();
        Self { channels: 1, samples: 1, pixels, ..*self }
    }

    /// Converts HWC to CHW and drops the ignored samples.
    fn planar(&self) -> (ImageShape, Vec<u8>) {
        let shape = ImageShape { channels: self.channels, height: self.height, width: self.width };
        let mut planes = Vec::with_capacity(shape.image_bytes());
        for channel in 0..self.channels {
            planes.extend(self.pixels.chunks_exact(self.samples).map(|pixel| pixel[channel]));
        }
        (shape, planes)
    }
}
