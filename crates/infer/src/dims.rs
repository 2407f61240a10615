/// Size of one image of levels; [features] are channels of a single pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dims {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Dims {
    /// From a node's shape, [channels, height, width] or [features].
    pub(crate) fn of(shape: &[usize]) -> Self {
        match *shape {
            [channels, height, width] => Self { channels, height, width },
            [channels] => Self { channels, height: 1, width: 1 },
            _ => unreachable!("a node's shape has one or three dimensions"),
        }
    }

    pub(crate) fn pixels(self) -> usize {
        self.height * self.width
    }

    pub(crate) fn len(self) -> usize {
        self.channels * self.pixels()
    }
}
