//! Pools over windows with padding, sizes rounded up and gradients, which candle's pools lack or have wrong.

use std::iter::StepBy;
use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use graph::Window;

use super::{flat, values};

/// Largest value of each window that lies inside the input; the first of several gets the gradient.
#[derive(Clone, Copy)]
pub(super) struct MaxPool(pub(super) Window);

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        pool(&self.0, storage, layout, f32::NEG_INFINITY, f32::max, |largest, _| largest)
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        pool_backward(&self.0, x, gradient, |x, places, gradient, of_x| {
            let larger = |largest, place| if x[place] > x[largest] { place } else { largest };
            of_x[places.iter().copied().reduce(larger).expect("a window holds a value")] += gradient;
        })
    }
}

/// Mean of each window: over the values inside the input, or over all, the padding being 0.
#[derive(Clone, Copy)]
pub(super) struct AvgPool {
    pub(super) window: Window,
    pub(super) count_include_pad: bool,
}

impl AvgPool {
    /// Divisor of a window with `inside` values inside the input.
    fn divisor(&self, inside: usize) -> f32 {
        let whole = self.window.kernel.iter().product();
        (if self.count_include_pad { whole } else { inside }) as f32
    }
}

impl CustomOp1 for AvgPool {
    fn name(&self) -> &'static str {
        "avg-pool"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mean = |sum, inside| sum / self.divisor(inside);
        pool(&self.window, storage, layout, 0.0, |sum, x| sum + x, mean)
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        pool_backward(&self.window, x, gradient, |_, places, gradient, of_x| {
            let share = gradient / self.divisor(places.len());
            places.iter().for_each(|&place| of_x[place] += share);
        })
    }
}

/// Calls `visit` with each window of a plane, row-major: the rows and the columns of it that lie inside the input.
fn each_window(
    window: &Window,
    [height, width]: [usize; 2],
    mut visit: impl FnMut(StepBy<Range<usize>>, StepBy<Range<usize>>),
) {
    let [rows, columns] = window.output(height, width);
    for row in 0..rows {
        let lines = window.taps(0, row, height);
        for column in 0..columns {
            visit(lines.clone(), window.taps(1, column, width));
        }
    }
}

/// Folds the values of each window that lie inside the input, and finishes with their number.
fn pool(
    window: &Window,
    storage: &CpuStorage,
    layout: &Layout,
    start: f32,
    fold: impl Fn(f32, f32) -> f32,
    finish: impl Fn(f32, usize) -> f32,
) -> Result<(CpuStorage, Shape)> {
    let (n, channels, height, width) = layout.shape().dims4()?;
    let [rows, columns] = window.output(height, width);
    let mut pooled = Vec::with_capacity(n * channels * rows * columns);
    for plane in values(storage, layout)?.chunks_exact(height * width) {
        each_window(window, [height, width], |lines, across| {
            let inside = lines.len() * across.len();
            let values =
                lines.flat_map(|line| across.clone().map(move |column| plane[line * width + column]));
            let value = values.fold(start, &fold);
            pooled.push(finish(value, inside));
        });
    }
    Ok((CpuStorage::F32(pooled), (n, channels, rows, columns).into()))
}

/// Gradient of the input of a pool. `give` distributes the gradient of one window: it takes the plane that the window
/// reads, the places in it that the window holds, the gradient, and the plane of the input's gradient.
fn pool_backward(
    window: &Window,
    x: &Tensor,
    gradient: &Tensor,
    give: impl Fn(&[f32], &[usize], f32, &mut [f32]),
) -> Result<Option<Tensor>> {
    let (_, _, height, width) = x.dims4()?;
    let values = flat(x)?;
    let mut of_x = vec![0.0; values.len()];
    let mut gradients = flat(gradient)?.into_iter();
    let planes = values.chunks_exact(height * width).zip(of_x.chunks_exact_mut(height * width));
    for (plane, of_plane) in planes {
        each_window(window, [height, width], |lines, across| {
            let line = |line| across.clone().map(move |column| line * width + column);
            let places: Vec<usize> = lines.flat_map(line).collect();
            give(plane, &places, gradients.next().expect("a window has a gradient"), of_plane);
        });
    }
    Tensor::from_vec(of_x, x.shape(), x.device()).map(Some)
}
