use graph::Window;

use super::channel_sums::channel_sums;
use crate::buffer::Pool;
use crate::conv::{Geometry, Plan};
use crate::kernel::{Kernel, Loop};

/// Two-dimensional convolution (cross-correlation, as in every framework) of images of one shape, with an
/// optional bias. Images are `[images, height, width, in_channels]`, weights `[out_channels, in_channels /
/// groups, kh, kw]`, results `[images, oh, ow, out_channels]`.
///
/// All methods panic if the length of a slice does not match these shapes.
pub struct Conv2d {
    geometry: Geometry,
    plan: Plan,
}

impl Conv2d {
    /// Makes a convolution of `images`, `[images, height, width, in_channels]`. Working memory comes from
    /// `pool`.
    ///
    /// # Panics
    /// Panics for a window that does not fit into the image, `groups` that do not divide the channels, a size
    /// of 0, `window.ceil`, or different padding at the end.
    pub fn new(images: [usize; 4], out_channels: usize, window: &Window, groups: usize, pool: &Pool) -> Self {
        let [count, height, width, in_channels] = images;
        let Window { kernel, stride, padding, after, dilation, ceil } = *window;
        let fits = !ceil
            && after.is_none()
            && stride.iter().chain(&kernel).chain(&dilation).all(|&size| size > 0)
            && window.fits(height, width)
            && groups > 0
            && in_channels.is_multiple_of(groups)
            && out_channels.is_multiple_of(groups)
            && images.iter().product::<usize>() * out_channels > 0;
        assert!(fits, "{window:?} with {groups} groups does not make {out_channels} channels of {images:?}");
        let geometry = Geometry {
            images: count,
            input: [height, width],
            in_channels,
            output: window.output(height, width),
            out_channels,
            kernel,
            stride,
            padding,
            dilation,
            groups,
        };
        Self { geometry, plan: Plan::new(Kernel::fastest(), &geometry, pool) }
    }

    /// Makes a linear layer: y = x W^T + b, `[n, inputs]` and `[outputs, inputs]` to `[n, outputs]`, as a 1x1
    /// convolution of images of one pixel.
    ///
    /// # Panics
    /// Panics for a size of 0.
    pub fn linear(n: usize, inputs: usize, outputs: usize, pool: &Pool) -> Self {
        Self::new([n, 1, 1, inputs], outputs, &Window::square(1, 1, 0), 1, pool)
    }

    /// Number of images of the input.
    pub fn images(&self) -> usize {
        self.geometry.images
    }

    /// Shape of the result, `[images, oh, ow, out_channels]`.
    pub fn output_shape(&self) -> [usize; 4] {
        let g = &self.geometry;
        [g.images, g.output[0], g.output[1], g.out_channels]
    }

    /// Writes the convolution into `y`. `bias` is `[out_channels]`.
    pub fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
        self.plan.forward(x, weight, bias, y);
    }

    /// Writes the gradient of the images into `dx`, or adds it, given the gradient of the result.
    pub fn input_gradient(&self, dy: &[f32], weight: &[f32], dx: &mut [f32], adds: bool) {
        self.plan.input_gradient(dy, weight, dx, adds);
    }

    /// Writes the gradient of the weights into `dw`.
    pub fn weight_gradient(&self, x: &[f32], dy: &[f32], dw: &mut [f32]) {
        self.plan.weight_gradient(x, dy, dw);
    }

    /// Writes the gradient of the bias into `db`.
    pub fn bias_gradient(&self, dy: &[f32], db: &mut [f32]) {
        let channels = self.geometry.out_channels;
        assert_eq!(db.len(), channels, "a bias for each channel");
        let kernel = Kernel::fastest();
        let ([sums], _) = channel_sums(dy.len(), channels, |range, [sums], _| {
            kernel.enter(Sums { values: &dy[range], sums });
        });
        db.iter_mut().zip(sums).for_each(|(db, sum)| *db = sum as f32);
    }
}

/// Sums all pixels.
struct Sums<'a> {
    values: &'a [f32],
    sums: &'a mut [f32],
}

impl Loop for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for pixel in self.values.chunks_exact(self.sums.len()) {
            for (sum, value) in self.sums.iter_mut().zip(pixel) {
                *sum += value;
            }
        }
    }
}
