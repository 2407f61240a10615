use graph::Window;
use rayon::prelude::*;

/// Maximum over a window, NHWC to NHWC; padding is never the maximum. The gradient goes to the first of equal
/// maxima in row-major order, as in PyTorch.
///
/// All methods panic if the length of a slice does not match the shapes.
pub struct MaxPool {
    window: Window,
    /// Shape of the input, `[images, height, width, channels]`.
    images: [usize; 4],
    output: [usize; 2],
}

impl MaxPool {
    /// Makes a pool of `[images, height, width, channels]`.
    ///
    /// # Panics
    /// Panics if the window does not fit, or if one of its positions holds no value of the image.
    pub fn new(images: [usize; 4], window: &Window) -> Self {
        check_pool(images, window);
        let [_, height, width, _] = images;
        Self { window: *window, images, output: window.output(height, width) }
    }

    /// Shape of the result, `[images, oh, ow, channels]`.
    pub fn output_shape(&self) -> [usize; 4] {
        [self.images[0], self.output[0], self.output[1], self.images[3]]
    }

    /// Writes the maxima into `y`, and the index of each in its image into `winners`.
    pub fn forward(&self, x: &[f32], y: &mut [f32], winners: &mut [u32]) {
        let [images, height, width, channels] = self.images;
        let [oh, ow] = self.output;
        let (image, pooled) = (height * width * channels, oh * ow * channels);
        assert!(
            x.len() == images * image && y.len() == images * pooled && winners.len() == y.len(),
            "{} values are not images {:?}",
            x.len(),
            self.images
        );
        let tasks = y.par_chunks_mut(pooled).zip(winners.par_chunks_mut(pooled));
        tasks.zip(x.par_chunks(image)).for_each(|((y, winners), x)| {
            let pixels = y.chunks_exact_mut(channels).zip(winners.chunks_exact_mut(channels));
            for (at, (best, winners)) in pixels.enumerate() {
                let rows = self.window.taps(0, at / ow, height);
                let columns = self.window.taps(1, at % ow, width);
                let mut first = true;
                for row in rows {
                    for column in columns.clone() {
                        let start = (row * width + column) * channels;
                        let values = &x[start..start + channels];
                        let places = best.iter_mut().zip(winners.iter_mut());
                        for ((c, &value), (best, winner)) in (0..).zip(values).zip(places) {
                            let wins = first | (value > *best) | value.is_nan();
                            *best = if wins { value } else { *best };
                            *winner = if wins { start as u32 + c } else { *winner };
                        }
                        first = false;
                    }
                }
            }
        });
    }

    /// Writes into `dx` the gradient of the images.
    pub fn backward(&self, dy: &[f32], winners: &[u32], dx: &mut [f32]) {
        let [images, height, width, channels] = self.images;
        let (image, pooled) = (height * width * channels, self.output[0] * self.output[1] * channels);
        assert!(
            dx.len() == images * image && dy.len() == images * pooled && winners.len() == dy.len(),
            "{} gradients are not images {:?}",
            dx.len(),
            self.images
        );
        let tasks = dx.par_chunks_mut(image).zip(dy.par_chunks(pooled)).zip(winners.par_chunks(pooled));
        tasks.for_each(|((dx, dy), winners)| {
            dx.fill(0.0);
            dy.iter().zip(winners).for_each(|(dy, &winner)| dx[winner as usize] += dy);
        });
    }
}

/// Mean over a window, NHWC to NHWC. The sum runs over the values inside the image in row-major order; the divisor
/// is their number, or, with `count_include_pad`, that of all values of the window, the padding being 0.
///
/// All methods panic if the length of a slice does not match the shapes.
pub struct AvgPool {
    window: Window,
    count_include_pad: bool,
    /// Shape of the input, `[images, height, width, channels]`.
    images: [usize; 4],
    output: [usize; 2],
}

impl AvgPool {
    /// Makes a pool of `[images, height, width, channels]`.
    ///
    /// # Panics
    /// Panics like [`MaxPool::new`], and if the window is dilated.
    pub fn new(images: [usize; 4], window: &Window, count_include_pad: bool) -> Self {
        check_pool(images, window);
        assert!(window.dilation == [1, 1], "{window:?} of a mean does not take images {images:?}");
        let [_, height, width, _] = images;
        Self { window: *window, count_include_pad, images, output: window.output(height, width) }
    }

    /// Shape of the result, `[images, oh, ow, channels]`.
    pub fn output_shape(&self) -> [usize; 4] {
        [self.images[0], self.output[0], self.output[1], self.images[3]]
    }

    /// Writes the means into `y`.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) {
        let [image, pooled] = self.sizes(x.len(), y.len());
        let channels = self.images[3];
        y.par_chunks_mut(pooled).zip(x.par_chunks(image)).for_each(|(y, x)| {
            for (at, y) in y.chunks_exact_mut(channels).enumerate() {
                y.fill(0.0);
                let divisor = self.each_pixel(at, |start| {
                    y.iter_mut().zip(&x[start..start + channels]).for_each(|(sum, x)| *sum += x);
                });
                y.iter_mut().for_each(|sum| *sum /= divisor);
            }
        });
    }

    /// Writes into `dx` the gradient of the images.
    pub fn backward(&self, dy: &[f32], dx: &mut [f32]) {
        let [image, pooled] = self.sizes(dx.len(), dy.len());
        let channels = self.images[3];
        dx.par_chunks_mut(image).zip(dy.par_chunks(pooled)).for_each(|(dx, dy)| {
            dx.fill(0.0);
            let mut share = vec![0.0; channels];
            for (at, dy) in dy.chunks_exact(channels).enumerate() {
                let divisor = self.each_pixel(at, |_| {});
                share.iter_mut().zip(dy).for_each(|(share, dy)| *share = dy / divisor);
                self.each_pixel(at, |start| {
                    dx[start..start + channels].iter_mut().zip(&share).for_each(|(dx, share)| *dx += share);
                });
            }
        });
    }

    /// Calls `visit` with the position in its image of each pixel of the window of output pixel `at`, row by row;
    /// returns the divisor.
    fn each_pixel(&self, at: usize, mut visit: impl FnMut(usize)) -> f32 {
        let [_, height, width, channels] = self.images;
        let rows = self.window.inside(0, at / self.output[1], height);
        let columns = self.window.inside(1, at % self.output[1], width);
        let inside = rows.len() * columns.len();
        for row in rows {
            columns.clone().for_each(|column| visit((row * width + column) * channels));
        }
        let whole = self.window.kernel.iter().product();
        (if self.count_include_pad { whole } else { inside }) as f32
    }

    /// Number of values of an image and of its means.
    fn sizes(&self, x: usize, y: usize) -> [usize; 2] {
        let [images, height, width, channels] = self.images;
        let (image, pooled) = (height * width * channels, self.output[0] * self.output[1] * channels);
        assert!(x == images * image && y == images * pooled, "{x} values are not images {:?}", self.images);
        [image, pooled]
    }
}

/// Refuses a window of which a position lies outside images of shape `[images, height, width, channels]`.
fn check_pool(images: [usize; 4], window: &Window) {
    let Window { kernel, stride, dilation, .. } = *window;
    let holds = || {
        let outputs = window.output(images[1], images[2]);
        (0..2).all(|a| (0..outputs[a]).all(|out| window.taps(a, out, images[1 + a]).len() > 0))
    };
    let fits = images.iter().product::<usize>() > 0
        && kernel.iter().chain(&stride).chain(&dilation).all(|&size| size > 0)
        && window.fits(images[1], images[2])
        && holds();
    assert!(fits, "{window:?} does not take images {images:?}");
}

/// Writes the means over the pixels of `x`, `[n, h, w, channels]`, into `y`, `[n, channels]`.
///
/// # Panics
/// Panics if `x` is not at least one whole pixel for each image.
pub fn global_avg_pool(x: &[f32], channels: usize, y: &mut [f32]) {
    let (image, pixels) = image(x.len(), channels, y.len());
    y.par_chunks_mut(channels).zip(x.par_chunks(image)).for_each(|(y, x)| {
        y.fill(0.0);
        for pixel in x.chunks_exact(channels) {
            y.iter_mut().zip(pixel).for_each(|(y, x)| *y += x);
        }
        y.iter_mut().for_each(|y| *y /= pixels);
    });
}

/// Writes the gradient of [`global_avg_pool`] into `dx`.
///
/// # Panics
/// Panics like [`global_avg_pool`].
pub fn global_avg_pool_backward(dy: &[f32], channels: usize, dx: &mut [f32]) {
    let (image, pixels) = image(dx.len(), channels, dy.len());
    dx.par_chunks_mut(image).zip(dy.par_chunks(channels)).for_each(|(dx, dy)| {
        for pixel in dx.chunks_exact_mut(channels) {
            pixel.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = dy / pixels);
        }
    });
}

/// Returns the number of values of an image, and the number of its pixels.
fn image(values: usize, channels: usize, means: usize) -> (usize, f32) {
    assert!(
        channels > 0 && means > 0 && values > 0 && values.is_multiple_of(means),
        "{values} values, {means} means of {channels} channels"
    );
    (values / means * channels, (values / means) as f32)
}
