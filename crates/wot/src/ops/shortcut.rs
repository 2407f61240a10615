use rayon::prelude::*;

/// ResNet's shortcut without parameters ([`graph::Op::PadShortcut`]), NHWC to NHWC: takes every `stride`-th row
/// and column, and adds `before` zero channels in front and `after` behind.
///
/// All methods panic if the length of a slice does not match the shapes.
pub struct PadShortcut {
    /// Shape of the input, `[images, height, width, channels]`.
    images: [usize; 4],
    stride: usize,
    before: usize,
    after: usize,
}

impl PadShortcut {
    /// Makes a shortcut of `[images, height, width, channels]`.
    ///
    /// # Panics
    /// Panics for a stride of 0, or for images without pixels.
    pub fn new(images: [usize; 4], stride: usize, before: usize, after: usize) -> Self {
        assert!(
            stride > 0 && images.iter().product::<usize>() > 0,
            "a shortcut with stride {stride} does not take images {images:?}"
        );
        Self { images, stride, before, after }
    }

    /// Shape of the result, `[images, oh, ow, channels]`.
    pub fn output_shape(&self) -> [usize; 4] {
        let [images, height, width, channels] = self.images;
        let [oh, ow] = [height, width].map(|size| size.div_ceil(self.stride));
        [images, oh, ow, self.before + channels + self.after]
    }

    /// Writes the selected pixels with zero channels around them into `y`.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) {
        self.check(x.len(), y.len());
        let [.., wide] = self.output_shape();
        let inside = self.before..wide - self.after;
        let [x_image, y_image] = [x, &*y].map(|values| values.len() / self.images[0]);
        y.par_chunks_mut(y_image).zip(x.par_chunks(x_image)).for_each(|(y, x)| {
            for (y, from) in y.chunks_exact_mut(wide).zip(self.kept()) {
                y.fill(0.0);
                y[inside.clone()].copy_from_slice(&x[from..from + self.images[3]]);
            }
        });
    }

    /// Writes the gradient of the images into `dx`.
    pub fn backward(&self, dy: &[f32], dx: &mut [f32]) {
        self.check(dx.len(), dy.len());
        let [.., wide] = self.output_shape();
        let inside = self.before..wide - self.after;
        let [x_image, y_image] = [&*dx, dy].map(|values| values.len() / self.images[0]);
        dx.par_chunks_mut(x_image).zip(dy.par_chunks(y_image)).for_each(|(dx, dy)| {
            dx.fill(0.0);
            for (dy, to) in dy.chunks_exact(wide).zip(self.kept()) {
                dx[to..to + self.images[3]].copy_from_slice(&dy[inside.clone()]);
            }
        });
    }

    fn check(&self, x: usize, y: usize) {
        let [values, results] =
            [self.images, self.output_shape()].map(|shape| shape.iter().product::<usize>());
        assert!(x == values && y == results, "{x} values are not images {:?}", self.images);
    }

    /// Returns the position in the input, in values, of each selected pixel of an image.
    fn kept(&self) -> impl Iterator<Item = usize> {
        let [_, height, width, channels] = self.images;
        let stride = self.stride;
        let rows = (0..height).step_by(stride);
        rows.flat_map(move |y| (0..width).step_by(stride).map(move |x| (y * width + x) * channels))
    }
}
