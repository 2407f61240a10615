use std::iter::StepBy;
use std::ops::Range;

/// A window that slides over height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Step in height and width.
    pub stride: [usize; 2],
    /// Padding on both sides of height and width.
    pub padding: [usize; 2],
    /// Padding below and on the right, if it differs from `padding`.
    pub after: Option<[usize; 2]>,
    /// Distance between the values that the window holds.
    pub dilation: [usize; 2],
    /// True if the output size is rounded up instead of down (SqueezeNet's pooling).
    pub ceil: bool,
}

impl Window {
    /// A square window.
    pub fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Self::of([kernel; 2], [stride; 2], [padding; 2])
    }

    /// A window of adjacent values, with one padding for both sides.
    pub fn of(kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Self {
        Self { kernel, stride, padding, after: None, dilation: [1, 1], ceil: false }
    }

    /// Distance from the first to the last value that the window holds along `axis`, both included.
    pub fn extent(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    /// Size of an axis with its padding.
    fn padded(&self, axis: usize, size: usize) -> usize {
        size + self.padding[axis] + self.after.unwrap_or(self.padding)[axis]
    }

    /// True if the window fits into the padded input.
    pub fn fits(&self, height: usize, width: usize) -> bool {
        (0..2).all(|axis| self.extent(axis) <= self.padded(axis, [height, width][axis]))
    }

    /// Output height and width by PyTorch's rule: with `ceil`, the last window must still begin inside the input or
    /// its leading padding.
    ///
    /// # Panics
    /// When the window does not fit into the padded input.
    pub fn output(&self, height: usize, width: usize) -> [usize; 2] {
        std::array::from_fn(|axis| {
            let size = [height, width][axis];
            let (k, s, p) = (self.extent(axis), self.stride[axis], self.padding[axis]);
            let padded = self.padded(axis, size);
            assert!(padded >= k, "a window of {k} does not fit into {size} with padding {p}");
            let span = padded - k;
            let floor = span / s + 1;
            if self.ceil && !span.is_multiple_of(s) && floor * s < size + p { floor + 1 } else { floor }
        })
    }

    /// Indices of the values of the `out`-th window that lie inside an input of `size` values along `axis` (0 height,
    /// 1 width), for a window of adjacent values.
    pub fn inside(&self, axis: usize, out: usize, size: usize) -> Range<usize> {
        let begin = out * self.stride[axis];
        let (end, padding) = (begin + self.kernel[axis], self.padding[axis]);
        begin.saturating_sub(padding)..end.saturating_sub(padding).min(size)
    }

    /// Indices of the values of the `out`-th window that lie inside an input of `size` values along `axis`, also for a
    /// dilated window.
    pub fn taps(&self, axis: usize, out: usize, size: usize) -> StepBy<Range<usize>> {
        let (step, padding) = (self.dilation[axis], self.padding[axis]);
        let begin = out * self.stride[axis];
        let skipped = padding.saturating_sub(begin).div_ceil(step) * step;
        let end = (begin + self.extent(axis)).saturating_sub(padding).min(size);
        ((begin + skipped).saturating_sub(padding)..end).step_by(step)
    }

    /// Number of values of the window at an output row and column that lie inside an input of `size` (height and
    /// width).
    pub fn values_inside(&self, output: [usize; 2], size: [usize; 2]) -> usize {
        (0..2).map(|axis| self.inside(axis, output[axis], size[axis]).len()).product()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S303 of the specification.
    #[test]
    fn a_window_has_as_many_positions_as_fit() {
        for (size, kernel, stride, padding) in
            (1..20).flat_map(|n| (1..6).flat_map(move |k| (1..5).map(move |s| (n, k, s, k / 2))))
        {
            let mut window = Window::square(kernel, stride, padding);
            if size + 2 * padding < kernel {
                continue;
            }
            // Positions, counted from the start of the padding, at which the whole window fits.
            let whole = (0..).step_by(stride).take_while(|at| at + kernel <= size + 2 * padding).count();
            assert_eq!(window.output(size, size), [whole; 2]);
            // Rounded up: one more, if something is left over and it begins before the trailing padding.
            let last_end = (whole - 1) * stride + kernel;
            let more = last_end < size + 2 * padding && whole * stride < size + padding;
            window.ceil = true;
            assert_eq!(window.output(size, size), [whole + usize::from(more); 2]);
        }
    }

    #[test]
    fn taps_are_the_positions_of_a_dilated_window_inside_the_input() {
        for (size, kernel, stride, padding, dilation) in (1..12).flat_map(|n| {
            (1..4).flat_map(move |k| {
                (1..4).flat_map(move |s| (0..3).flat_map(move |p| (1..4).map(move |d| (n, k, s, p, d))))
            })
        }) {
            let window = Window { dilation: [dilation; 2], ..Window::square(kernel, stride, padding) };
            for out in 0..6 {
                let all = (0..kernel).map(|i| out * stride + i * dilation);
                let inside = all.filter_map(|at| at.checked_sub(padding)).filter(|&at| at < size);
                assert!(window.taps(0, out, size).eq(inside), "{window:?} at {out} of {size}");
                if dilation == 1 {
                    assert!(window.taps(1, out, size).eq(window.inside(1, out, size)));
                }
            }
        }
    }

    #[test]
    fn published_pools_have_published_sizes() {
        let ceil = Window { ceil: true, ..Window::square(3, 2, 0) };
        assert_eq!(ceil.output(109, 111), [54, 55]);
        assert_eq!(ceil.output(54, 27), [27, 13]);
        assert_eq!(Window::square(3, 2, 1).output(112, 112), [56, 56]);
    }
}
