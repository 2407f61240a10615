use serde::{Deserialize, Serialize};

/// Per-channel input normalization: `x = (pixel / 255 - mean) / std`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Preprocessing {
    mean: Vec<f32>,
    std: Vec<f32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl TryFrom<Unchecked> for Preprocessing {
    type Error = String;

    fn try_from(Unchecked { mean, std }: Unchecked) -> Result<Self, String> {
        Self::new(mean, std).map_err(|error| format!("preprocessing.{error}"))
    }
}

/// Means or standard deviations that no image can be normalized with.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field} is {values:?}, expected {expected}, one per channel")]
pub struct PreprocessingError {
    field: &'static str,
    values: Vec<f32>,
    expected: String,
}

impl Preprocessing {
    /// Mean of the channels of ImageNet's images, as torchvision's networks have it.
    pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];

    /// Standard deviation of the channels of ImageNet's images.
    pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

    /// Takes a mean and a standard deviation for each channel, of pixels in [0, 1].
    ///
    /// # Errors
    /// Means that are not finite, deviations that are not finite and positive, or not as many as means.
    pub fn new(mean: Vec<f32>, std: Vec<f32>) -> Result<Self, PreprocessingError> {
        if !mean.iter().all(|mean| mean.is_finite()) {
            let expected = "finite numbers".into();
            return Err(PreprocessingError { field: "mean", values: mean, expected });
        }
        if std.len() != mean.len() || !std.iter().all(|std| std.is_finite() && *std > 0.0) {
            let expected = format!("{} positive numbers", mean.len());
            return Err(PreprocessingError { field: "std", values: std, expected });
        }
        Ok(Self { mean, std })
    }

    /// Checks that there is a mean for each channel of the images.
    ///
    /// # Errors
    /// Another number of means.
    pub fn check_channels(&self, channels: usize) -> Result<(), PreprocessingError> {
        if self.mean.len() == channels {
            return Ok(());
        }
        let expected = format!("{channels} finite numbers");
        Err(PreprocessingError { field: "mean", values: self.mean.clone(), expected })
    }

    /// Mean of each channel, of pixels in [0, 1].
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// Standard deviation of each channel; positive.
    pub fn std(&self) -> &[f32] {
        &self.std
    }

    /// Input value of the network for one u8 pixel of `channel`; f32 arithmetic in the order PyTorch's `ToTensor` and
    /// `Normalize` use.
    ///
    /// # Panics
    /// When there is no such channel.
    pub fn value(&self, channel: usize, pixel: u8) -> f32 {
        (f32::from(pixel) / 255.0 - self.mean[channel]) / self.std[channel]
    }

    /// Input values of the network for the u8 pixels of whole images, each in [channels, height, width]
    /// with `plane` pixels per channel; equal to [`Preprocessing::value`] of each.
    ///
    /// # Panics
    /// When there are no channels, or they have no pixels.
    pub fn values(&self, pixels: &[u8], plane: usize) -> Vec<f32> {
        let mut values = Vec::with_capacity(pixels.len());
        for (i, plane) in pixels.chunks(plane).enumerate() {
            let channel = i % self.mean.len();
            values.extend(plane.iter().map(|&pixel| self.value(channel, pixel)));
        }
        values
    }

    /// Largest magnitude that any pixel of any channel can have after normalization, which is monotonic.
    pub fn max_abs(&self) -> f32 {
        let extremes = |channel| [0, 255].map(|pixel| self.value(channel, pixel).abs());
        (0..self.mean.len()).flat_map(extremes).fold(0.0, f32::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_each_pixel_of_each_channel() {
        let preprocessing = Preprocessing::new(vec![0.5, 0.25], vec![0.25, 2.0]).unwrap();
        let value = |channel, pixel| preprocessing.value(channel, pixel);
        let expected = [value(0, 0), value(0, 9), value(1, 255), value(1, 3), value(0, 7), value(0, 8)];
        assert_eq!(preprocessing.values(&[0, 9, 255, 3, 7, 8], 2), expected);
        assert_eq!(value(1, 255), 0.375);
    }
}
