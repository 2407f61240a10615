/// Size of one image between two layers; features are channels of a single pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims {
    /// Number of channels, or of features.
    pub channels: usize,
    /// Rows; 1 for features.
    pub height: usize,
    /// Columns; 1 for features.
    pub width: usize,
}

impl Dims {
    /// Converts a node's shape, `[channels, height, width]` or `[features]`.
    ///
    /// # Panics
    /// When the shape has another number of dimensions.
    pub fn of(shape: &[usize]) -> Self {
        match *shape {
            [channels, height, width] => Self { channels, height, width },
            [channels] => Self { channels, height: 1, width: 1 },
            _ => panic!("a node has shape {shape:?}, expected one or three dimensions"),
        }
    }

    /// Number of pixels.
    pub fn pixels(self) -> usize {
        self.height * self.width
    }

    /// Number of values.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(self) -> usize {
        self.channels * self.pixels()
    }
}
