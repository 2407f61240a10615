use rayon::prelude::*;

/// Zeros around images, NHWC to NHWC.
///
/// All methods panic if the length of a slice does not match the shapes.
pub struct Pad {
    /// Shape of the input, `[images, height, width, channels]`.
    images: [usize; 4],
    /// Rows above, columns on the left.
    before: [usize; 2],
    /// Rows below, columns on the right.
    after: [usize; 2],
}

impl Pad {
    /// Makes the padding of `[images, height, width, channels]`: `before` rows above and columns on the left, `after`
    /// rows below and columns on the right.
    ///
    /// # Panics
    /// Panics for images without values.
    pub fn new(images: [usize; 4], before: [usize; 2], after: [usize; 2]) -> Self {
        assert!(images.iter().product::<usize>() > 0, "padding does not take images {images:?}");
        Self { images, before, after }
    }

    /// Shape of the result, `[images, oh, ow, channels]`.
    pub fn output_shape(&self) -> [usize; 4] {
        let [images, height, width, channels] = self.images;
        let [rows, columns] = [0, 1].map(|a| [height, width][a] + self.before[a] + self.after[a]);
        [images, rows, columns, channels]
    }

    /// Writes the images with zeros around them into `y`.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) {
        let [image, padded] = self.sizes(x.len(), y.len());
        y.par_chunks_mut(padded).zip(x.par_chunks(image)).for_each(|(y, x)| {
            y.fill(0.0);
            for (row, place) in x.chunks_exact(self.row()).zip(self.rows()) {
                y[place..place + row.len()].copy_from_slice(row);
            }
        });
    }

    /// Writes the gradient of the images into `dx`.
    pub fn backward(&self, dy: &[f32], dx: &mut [f32]) {
        let [image, padded] = self.sizes(dx.len(), dy.len());
        dx.par_chunks_mut(image).zip(dy.par_chunks(padded)).for_each(|(dx, dy)| {
            for (row, place) in dx.chunks_exact_mut(self.row()).zip(self.rows()) {
                row.copy_from_slice(&dy[place..place + row.len()]);
            }
        });
    }

    /// Number of values of a row of the input.
    fn row(&self) -> usize {
        self.images[2] * self.images[3]
    }

    /// Position in the padded image of each row of the input.
    fn rows(&self) -> impl Iterator<Item = usize> {
        let [_, _, columns, channels] = self.output_shape();
        let [above, left] = self.before;
        (0..self.images[1]).map(move |row| ((above + row) * columns + left) * channels)
    }

    /// Number of values of an image and of a padded image.
    fn sizes(&self, x: usize, y: usize) -> [usize; 2] {
        let [values, results] =
            [self.images, self.output_shape()].map(|shape| shape.iter().product::<usize>());
        assert!(x == values && y == results, "{x} values are not images {:?}", self.images);
        [values, results].map(|values| values / self.images[0])
    }
}
