use serde::{Deserialize, Serialize};

/// Per-channel input normalization: `x = (pixel / 255 - mean) / std`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Mean of each channel, of pixels in [0, 1].
    pub mean: Vec<f32>,
    /// Standard deviation of each channel; positive.
    pub std: Vec<f32>,
}

impl Preprocessing {
    /// The network's input for one u8 pixel of `channel`; f32 arithmetic in the order PyTorch's
    /// `ToTensor` and `Normalize` use.
    ///
    /// # Panics
    /// When there is no such channel.
    pub fn value(&self, channel: usize, pixel: u8) -> f32 {
        (f32::from(pixel) / 255.0 - self.mean[channel]) / self.std[channel]
    }
}
