use graph::Dims;

/// Memory layout of a node's levels: images of rows of pixels of channels, one byte each. Every image has a
/// border of zeros as wide as the padding of the convolutions that read it.
///
/// A byte is a level plus `zero`: 0 if levels cannot be negative, 128 otherwise; in a network that another program quantized, any
/// byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) dims: Dims,
    /// Number of rows above and below, number of pixels on the left and on the right.
    pub(crate) border: [usize; 2],
    /// Byte of level 0.
    pub(crate) zero: u8,
}

impl Frame {
    /// Bytes of one row, its border included.
    pub(crate) fn row(&self) -> usize {
        (self.dims.width + 2 * self.border[1]) * self.dims.channels
    }

    /// Bytes of one image.
    pub(crate) fn len(&self) -> usize {
        (self.dims.height + 2 * self.border[0]) * self.row()
    }

    /// Position of the pixel at a row and column. Negative rows and columns are in the border.
    pub(crate) fn pixel(&self, row: usize, column: usize) -> usize {
        (row + self.border[0]) * self.row() + (column + self.border[1]) * self.dims.channels
    }

    /// Start of each pixel of some images.
    pub(crate) fn pixels(&self, images: usize) -> Vec<u32> {
        let Dims { height, width, .. } = self.dims;
        let rows = (0..images).flat_map(|image| (0..height).map(move |row| (image, row)));
        let pixels = rows.flat_map(|(image, row)| (0..width).map(move |column| (image, row, column)));
        let offset = |at: usize| u32::try_from(at).expect("a tile of images has fewer than 2^32 values");
        pixels.map(|(image, row, column)| offset(image * self.len() + self.pixel(row, column))).collect()
    }

    /// Returns the level of a byte, exact in f32.
    #[inline(always)]
    pub(crate) fn level(&self, byte: u8) -> f32 {
        f32::from(i16::from(byte) - i16::from(self.zero))
    }

    /// Writes the border of one image.
    pub(crate) fn fill_border(&self, image: &mut [u8]) {
        let [above, left] = self.border;
        if [above, left] == [0, 0] {
            return;
        }
        let (row, side) = (self.row(), left * self.dims.channels);
        let end = image.len();
        image[..above * row].fill(self.zero);
        image[end - above * row..].fill(self.zero);
        for row in image[above * row..end - above * row].chunks_exact_mut(row) {
            let end = row.len();
            row[..side].fill(self.zero);
            row[end - side..].fill(self.zero);
        }
    }
}
