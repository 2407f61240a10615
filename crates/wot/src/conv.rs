//! Convolution and its two gradients on channels-last images, as plans for the kernel.
//!
//! **Forward pass and gradient of the input are one operation**, a correlation: each output pixel sums, over
//! a list of *taps*, the channels of one input pixel times a matrix of that tap. The forward pass has the
//! kernel's taps, and its windows lie `stride` apart. The gradient of the input correlates the gradient of
//! the output: input row y was read by output row (y + padding - ky dilation) / stride, if that is an integer, so the
//! taps of a row depend on (y + padding) mod stride. Each of these `stride[0] * stride[1]` *phases* is a
//! separate correlation, whose windows lie one apart and whose results lie `stride` apart; nothing is
//! multiplied by inserted zeros.
//!
//! Images are copied into zero borders, a few at a time so that the copies stay in the cache; all windows
//! then lie inside. Taps that are adjacent in memory are merged into one run.
//!
//! **The gradient of the weights** sums over all pixels of all images, for each tap, input channel and output
//! channel. Threads divide the pairs of a tap and a group of input channels, so each sum belongs to one
//! thread and runs over images, rows and columns in order.
//!
//! So every sum has one order, and results have the same bits for any number of threads.
//!
//! The types nest as follows. A [`Plan`] of a convolution has two [`Correlation`]s, one for each pass. A
//! [`Correlation`] has one [`Shape`], which is the geometry of whole images, and a [`Prepared`] for each
//! [`Phase`]; a `Phase` lists taps and output pixels, and its `Prepared` has their addresses in memory.

use rayon::prelude::*;

use crate::buffer::{Buffer, Pool};
use crate::kernel::{Kernel, LANES, Pixels, Run, Segment, Vector, Windows, Write};

/// Least number of pixels of a task; it reads the weights once for all of them.
const PIXELS: usize = 256;
/// Size in bytes of the images and gradients that stay in the cache while the gradients of all weights pass
/// over them.
const CACHED_BYTES: usize = 768 << 10;
/// Number of input channels that are summed together in the gradient of the weights.
const ROWS: usize = 16;
/// Number of taps in a tile when weights are reordered; a tile has [`ROWS`] channels by [`LANES`] weights for
/// each tap. In memory these lie at distances of large powers of two, which the cache cannot hold at the same
/// time.
const TILE_TAPS: usize = 9;

/// The shape of a convolution; activations are NHWC, weights OIHW.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) images: usize,
    /// Height and width of the images.
    pub(crate) input: [usize; 2],
    pub(crate) in_channels: usize,
    /// Height and width of the results.
    pub(crate) output: [usize; 2],
    pub(crate) out_channels: usize,
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) padding: [usize; 2],
    /// Distance of neighbouring taps.
    pub(crate) dilation: [usize; 2],
    pub(crate) groups: usize,
}

impl Geometry {
    /// Number of input channels of a group.
    fn group_in(&self) -> usize {
        self.in_channels / self.groups
    }

    fn group_out(&self) -> usize {
        self.out_channels / self.groups
    }

    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Distance in the input from the first tap to the last along an axis, both included.
    fn extent(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    fn tap(&self, ky: usize, kx: usize) -> usize {
        ky * self.kernel[1] + kx
    }
}

/// One phase of a correlation: a grid of windows with the same taps.
struct Phase {
    /// Row and column of each tap in the padded window, and its index in the kernel.
    taps: Vec<([usize; 2], usize)>,
    /// First output pixel, and number of output pixels, in height and width.
    first: [usize; 2],
    count: [usize; 2],
}

/// The geometry of a correlation of whole images, common to its phases.
struct Shape {
    images: usize,
    groups: usize,
    source: [usize; 2],
    source_channels: usize,
    /// Number of zero rows above and columns on the left (`before`), and size including all borders.
    before: [usize; 2],
    padded: [usize; 2],
    /// Distance of neighbouring windows in the source.
    window_step: [usize; 2],
    target: [usize; 2],
    target_channels: usize,
    /// Distance of neighbouring output pixels of a phase in the result.
    target_step: [usize; 2],
}

/// A convolution of a given shape: the correlations of its two passes, with all addresses computed.
pub(crate) struct Plan {
    geometry: Geometry,
    kernel: Kernel,
    forward: Correlation,
    backward: Correlation,
    pool: Pool,
}

impl Plan {
    pub(crate) fn new(kernel: Kernel, geometry: &Geometry, pool: &Pool) -> Self {
        Self {
            geometry: *geometry,
            kernel,
            forward: forward(geometry),
            backward: backward(geometry),
            pool: pool.clone(),
        }
    }

    /// Writes the convolution of NHWC `x` with OIHW `weights` into `y`, NHWC, plus a bias for each channel.
    pub(crate) fn forward(&self, x: &[f32], weights: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
        let g = &self.geometry;
        self.check(weights);
        let layout = Layout {
            group: g.group_out() * g.group_in() * g.taps(),
            from: g.taps(),
            to: g.group_in() * g.taps(),
        };
        assert!(bias.is_none_or(|bias| bias.len() == g.out_channels), "a bias of other channels");
        let write = bias.map_or(Write::Set, Write::Biased);
        self.forward.run(self.kernel, &self.pool, x, weights, layout, write, y);
    }

    /// Writes the gradient of the input, NHWC, into `dx`, or adds it, given the gradient of the output.
    pub(crate) fn input_gradient(&self, dy: &[f32], weights: &[f32], dx: &mut [f32], adds: bool) {
        let g = &self.geometry;
        self.check(weights);
        let layout = Layout {
            group: g.group_out() * g.group_in() * g.taps(),
            from: g.group_in() * g.taps(),
            to: g.taps(),
        };
        let write = if adds { Write::Add } else { Write::Set };
        self.backward.run(self.kernel, &self.pool, dy, weights, layout, write, dx);
    }

    fn check(&self, weights: &[f32]) {
        let g = &self.geometry;
        let expected = g.out_channels * g.group_in() * g.taps();
        assert_eq!(weights.len(), expected, "weights of another shape than {g:?}");
    }

    /// Writes the gradient of the weights, OIHW, into `dw`, given NHWC `x` and the gradient of the output.
    pub(crate) fn weight_gradient(&self, x: &[f32], dy: &[f32], dw: &mut [f32]) {
        weight_gradient(self.kernel, &self.pool, &self.geometry, x, dy, dw);
    }
}

fn forward(g: &Geometry) -> Correlation {
    let [below, beside] = g.dilation;
    let taps = (0..g.kernel[0])
        .flat_map(|ky| (0..g.kernel[1]).map(move |kx| ([ky * below, kx * beside], g.tap(ky, kx))));
    let shape = Shape {
        images: g.images,
        groups: g.groups,
        source: g.input,
        source_channels: g.in_channels,
        before: g.padding,
        padded: std::array::from_fn(|a| {
            (g.input[a] + g.padding[a]).max((g.output[a] - 1) * g.stride[a] + g.extent(a))
        }),
        window_step: g.stride,
        target: g.output,
        target_channels: g.out_channels,
        target_step: [1, 1],
    };
    Correlation::new(shape, vec![Phase { taps: taps.collect(), first: [0, 0], count: g.output }])
}

fn backward(g: &Geometry) -> Correlation {
    // For each axis and phase: the taps, and how many output rows before the window's row each reads.
    let axis_taps = |axis: usize, phase: usize| -> Vec<(isize, usize)> {
        let (s, p, d) = (g.stride[axis], g.padding[axis], g.dilation[axis]);
        // Taps go from the last to the first, so that the rows they read ascend.
        let seen = (0..g.kernel[axis]).rev().filter(|k| (phase + p + (s - 1) * k * d).is_multiple_of(s));
        seen.map(|k| ((phase as isize + p as isize - (k * d) as isize) / s as isize, k)).collect()
    };
    let mut before = [0usize; 2];
    let mut padded = g.output;
    for axis in [0, 1] {
        let phases = g.stride[axis].min(g.input[axis]);
        let reads = |phase: usize| axis_taps(axis, phase).into_iter().map(move |(d, _)| (phase, d));
        before[axis] = (0..phases).flat_map(reads).map(|(_, d)| (-d).max(0) as usize).max().unwrap_or(0);
        let end = |(phase, d): (usize, isize)| {
            let last = (g.input[axis] - 1 - phase) / g.stride[axis];
            (last as isize + d + 1 + before[axis] as isize) as usize
        };
        let ends = (0..phases).flat_map(reads).map(end).max().unwrap_or(0);
        padded[axis] = ends.max(before[axis] + g.output[axis]);
    }
    let mut phases = Vec::new();
    for fy in 0..g.stride[0].min(g.input[0]) {
        for fx in 0..g.stride[1].min(g.input[1]) {
            let mut taps = Vec::new();
            for (dy, ky) in axis_taps(0, fy) {
                for (dx, kx) in axis_taps(1, fx) {
                    let at = [dy + before[0] as isize, dx + before[1] as isize].map(|d| d as usize);
                    taps.push((at, g.tap(ky, kx)));
                }
            }
            let first = [fy, fx];
            let count = std::array::from_fn(|a| (g.input[a] - first[a]).div_ceil(g.stride[a]));
            phases.push(Phase { taps, first, count });
        }
    }
    let shape = Shape {
        images: g.images,
        groups: g.groups,
        source: g.output,
        source_channels: g.out_channels,
        before,
        padded,
        window_step: [1, 1],
        target: g.input,
        target_channels: g.in_channels,
        target_step: g.stride,
    };
    Correlation::new(shape, phases)
}

/// Memory layout of the weights: distances in OIHW weights between neighbouring source channels (`from`) and
/// target channels (`to`) of a group. The taps of a pair of channels are adjacent.
#[derive(Clone, Copy)]
struct Layout {
    group: usize,
    from: usize,
    to: usize,
}

/// A phase of a correlation with the addresses of its taps, windows and output pixels.
struct Prepared {
    /// Index of each tap in the kernel.
    taps: Vec<usize>,
    runs: Vec<Run>,
    /// Start of each window in a batch of images, and of the output pixel of each.
    windows: Vec<u32>,
    pixels: Vec<u32>,
    /// Number of output pixels of an image.
    image_pixels: usize,
}

/// A correlation of whole images: its geometry and its phases.
struct Correlation {
    shape: Shape,
    /// Number of images that a task takes.
    task_images: usize,
    phases: Vec<Prepared>,
}

impl Correlation {
    fn new(shape: Shape, phases: Vec<Phase>) -> Self {
        let image_pixels = shape.target[0] * shape.target[1];
        let task_images =
            PIXELS.div_ceil(image_pixels).clamp(1, shape.images.div_ceil(rayon::current_num_threads()));
        let phases = phases.iter().map(|phase| shape.prepare(phase, task_images)).collect();
        Self { shape, task_images, phases }
    }

    /// Correlates `source` with weights.
    #[expect(clippy::too_many_arguments, reason = "each is one thing, and both callers are above")]
    fn run(
        &self,
        kernel: Kernel,
        pool: &Pool,
        source: &[f32],
        weights: &[f32],
        layout: Layout,
        write: Write<'_>,
        output: &mut [f32],
    ) {
        let shape = &self.shape;
        let image = shape.target[0] * shape.target[1] * shape.target_channels;
        let source_image = shape.source[0] * shape.source[1] * shape.source_channels;
        let padded_image = shape.padded[0] * shape.padded[1] * shape.pitch();
        assert_eq!(source.len(), shape.images * source_image, "images of another shape");
        assert_eq!(output.len(), shape.images * image, "a result of another shape");
        let packed: Vec<Buffer> =
            self.phases.iter().map(|phase| shape.pack(pool, phase, weights, layout)).collect();
        let bare = shape.padded == shape.source && shape.pitch() == shape.source_channels;
        output
            .par_chunks_mut(self.task_images * image)
            .zip(source.par_chunks(self.task_images * source_image))
            .for_each_init(
                || if bare { pool.take(0) } else { pool.take(self.task_images * padded_image) },
                |padded, (output, source)| {
                    let input = if bare {
                        source
                    } else {
                        for (to, from) in
                            padded.chunks_exact_mut(padded_image).zip(source.chunks_exact(source_image))
                        {
                            shape.place(from, to);
                        }
                        &padded[..]
                    };
                    // Pixels without taps are zero.
                    if matches!(write, Write::Set) && self.phases.iter().any(|phase| phase.runs.is_empty()) {
                        output.fill(0.0);
                    }
                    for (phase, packed) in self.phases.iter().zip(&packed) {
                        let pixels = output.len() / image * phase.image_pixels;
                        let vectors = packed.as_chunks().0;
                        shape.run_phase(kernel, phase, vectors, pixels, input, write, output);
                    }
                },
            );
    }
}

impl Shape {
    /// Computes the first `pixels` output pixels of a phase.
    #[expect(clippy::too_many_arguments, reason = "each is one thing, and its caller is above")]
    fn run_phase(
        &self,
        kernel: Kernel,
        phase: &Prepared,
        vectors: &[Vector],
        pixels: usize,
        input: &[f32],
        write: Write<'_>,
        output: &mut [f32],
    ) {
        let (from, to) = (self.source_channels / self.groups, self.target_channels / self.groups);
        let needed = phase.taps.len() * from;
        if needed == 0 {
            return;
        }
        let mut panels = vectors.chunks_exact(needed);
        for group in 0..self.groups {
            for first in (0..to).step_by(LANES) {
                let channel = group * to + first;
                let windows = Windows {
                    runs: &phase.runs,
                    weights: panels.next().expect("a panel for each 16 channels of a group"),
                    input: &input[group * from..],
                    windows: &phase.windows[..pixels],
                    pixels: &phase.pixels[..pixels],
                    lanes: LANES.min(to - first),
                    write: match write {
                        Write::Biased(bias) => Write::Biased(&bias[channel..]),
                        other => other,
                    },
                };
                kernel.correlate(&windows, &mut output[channel..]);
            }
        }
    }

    /// Distance in values between pixels inside the borders. If windows that are summed side by side would
    /// lie a multiple of 2 KiB apart, they would share a few sets of the cache, which cannot hold them all;
    /// the distance is then larger.
    fn pitch(&self) -> usize {
        let crowded = (self.window_step[1] * self.source_channels).is_multiple_of(512);
        self.source_channels + if crowded { LANES } else { 0 }
    }

    /// Copies an image into its borders, and clears the borders.
    fn place(&self, image: &[f32], padded: &mut [f32]) {
        let (channels, pitch) = (self.source_channels, self.pitch());
        let row = self.source[1] * channels;
        let padded_row = self.padded[1] * pitch;
        let left = self.before[1] * pitch;
        let (above, rest) = padded.split_at_mut(self.before[0] * padded_row);
        above.fill(0.0);
        let mut rows = rest.chunks_exact_mut(padded_row);
        for (from, to) in image.chunks_exact(row).zip(rows.by_ref()) {
            let (before, to) = to.split_at_mut(left);
            before.fill(0.0);
            let (inside, after) = to.split_at_mut(self.source[1] * pitch);
            after.fill(0.0);
            if pitch == channels {
                inside.copy_from_slice(from);
                continue;
            }
            for (from, to) in from.chunks_exact(channels).zip(inside.chunks_exact_mut(pitch)) {
                to[..channels].copy_from_slice(from);
            }
        }
        rows.for_each(|below| below.fill(0.0));
    }

    fn prepare(&self, phase: &Phase, images: usize) -> Prepared {
        let from = self.source_channels / self.groups;
        let mut runs: Vec<Run> = Vec::new();
        for ([y, x], _) in &phase.taps {
            let offset = (y * self.padded[1] + x) * self.pitch();
            match runs.last_mut() {
                Some(last) if last.offset + last.len == offset => last.len += from,
                _ => runs.push(Run { offset, len: from }),
            }
        }
        let mut windows = Vec::new();
        let mut pixels = Vec::new();
        for image in 0..images {
            for y in 0..phase.count[0] {
                for x in 0..phase.count[1] {
                    let row = image * self.padded[0] + y * self.window_step[0];
                    windows.push(index(row, x * self.window_step[1], self.padded[1], self.pitch()));
                    let row = image * self.target[0] + phase.first[0] + y * self.target_step[0];
                    let column = phase.first[1] + x * self.target_step[1];
                    pixels.push(index(row, column, self.target[1], self.target_channels));
                }
            }
        }
        let taps = phase.taps.iter().map(|(_, tap)| *tap).collect();
        Prepared { taps, runs, windows, pixels, image_pixels: phase.count[0] * phase.count[1] }
    }

    /// Packs a phase's weights in the kernel's order: group by group, panel by panel, a vector of output
    /// channels for each tap and input channel.
    fn pack(&self, pool: &Pool, phase: &Prepared, weights: &[f32], layout: Layout) -> Buffer {
        let (from, to) = (self.source_channels / self.groups, self.target_channels / self.groups);
        let panels = to.div_ceil(LANES);
        let needed = phase.taps.len() * from;
        let mut packed = pool.take(self.groups * panels * needed * LANES);
        if needed > 0 {
            packed.par_chunks_exact_mut(needed * LANES).enumerate().for_each(|(index, panel)| {
                let (group, first) = (index / panels, index % panels * LANES);
                let lanes = LANES.min(to - first);
                let weights = &weights[group * layout.group + first * layout.to..];
                let vectors: &mut [Vector] = panel.as_chunks_mut().0;
                let mut tile = [[0.0; LANES]; TILE_TAPS * ROWS];
                for block in (0..from).step_by(ROWS) {
                    let rows = ROWS.min(from - block);
                    for (places, taps) in (0..).step_by(TILE_TAPS).zip(phase.taps.chunks(TILE_TAPS)) {
                        let mut one = |row: usize, lane: usize| {
                            let weights = &weights[(block + row) * layout.from + lane * layout.to..];
                            for (tile, &tap) in tile[row..].iter_mut().step_by(ROWS).zip(taps) {
                                tile[lane] = weights[tap];
                            }
                        };
                        // Reads in memory order.
                        if layout.from < layout.to {
                            (0..lanes).for_each(|lane| (0..rows).for_each(|row| one(row, lane)));
                        } else {
                            (0..rows).for_each(|row| (0..lanes).for_each(|lane| one(row, lane)));
                        }
                        for (place, tile) in (places..).zip(tile.chunks_exact(ROWS)).take(taps.len()) {
                            vectors[place * from + block..][..rows].copy_from_slice(&tile[..rows]);
                        }
                    }
                }
            });
        }
        packed
    }
}

fn index(row: usize, column: usize, width: usize, channels: usize) -> u32 {
    u32::try_from((row * width + column) * channels).expect("a few images have less than 2^32 values")
}

/// Writes the gradient of the weights, OIHW, into `dw`, given NHWC `x` and the gradient of the output.
fn weight_gradient(kernel: Kernel, pool: &Pool, g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (group_in, group_out) = (g.group_in(), g.group_out());
    assert_eq!(x.len(), g.images * g.input[0] * g.input[1] * g.in_channels, "images of another shape");
    assert_eq!(dy.len(), g.images * g.output[0] * g.output[1] * g.out_channels, "another shape's gradient");
    assert_eq!(dw.len(), g.out_channels * group_in * g.taps(), "weights of another shape");
    let panels = group_out.div_ceil(LANES);
    // Output channels are padded with zeros to whole vectors, if a group is not a multiple of 16.
    let padded_out = panels * LANES;
    let widened = (group_out != padded_out).then(|| widen(pool, dy, group_out, padded_out));
    let dy = widened.as_deref().unwrap_or(dy);
    let pixel_vectors = g.groups * padded_out;

    // A unit is at most ROWS input channels of one tap of one group.
    let blocks = group_in.div_ceil(ROWS);
    let units = g.groups * g.taps() * blocks;
    let image_bytes =
        4 * (g.input[0] * g.input[1] * g.in_channels + g.output[0] * g.output[1] * pixel_vectors);
    let cached_images = (CACHED_BYTES / image_bytes.max(1)).max(1);
    let share = units.div_ceil(rayon::current_num_threads());
    // Each unit has ROWS vectors for each panel.
    let unit = panels * ROWS * LANES;
    let mut sums = pool.take(units * unit);
    sums.par_chunks_mut(share * unit).enumerate().for_each(|(part, sums)| {
        let sums: &mut [Vector] = sums.as_chunks_mut().0;
        sums.fill([0.0; LANES]);
        for first_image in (0..g.images).step_by(cached_images) {
            let images = first_image..(first_image + cached_images).min(g.images);
            let mut reach = (usize::MAX, Vec::new(), 0);
            for (unit, sums) in (part * share..).zip(sums.chunks_exact_mut(panels * ROWS)) {
                let (group, tap) = (unit / blocks / g.taps(), unit / blocks % g.taps());
                let first = unit % blocks * ROWS;
                if reach.0 != tap {
                    let (segments, count) = segments(g, tap, images.clone(), pixel_vectors);
                    reach = (tap, segments, count);
                }
                let pixels = Pixels {
                    segments: &reach.1,
                    count: reach.2,
                    broadcast_step: g.stride[1] * g.in_channels,
                    vector_step: pixel_vectors,
                };
                let rows = ROWS.min(group_in - first);
                let x = &x[group * group_in + first..];
                for (panel, sums) in sums.chunks_exact_mut(ROWS).enumerate() {
                    let dy = &dy[group * padded_out + panel * LANES..];
                    kernel.accumulate(&pixels, x, dy, &mut sums[..rows]);
                }
            }
        }
    });

    // Converts back to OIHW, tile by tile.
    let sums: &[Vector] = sums.as_chunks().0;
    let row = group_in * g.taps();
    for (group, dw) in dw.chunks_exact_mut(group_out * row).enumerate() {
        dw.par_chunks_mut(LANES * row).enumerate().for_each(|(panel, dw)| {
            let mut tile = [[0.0; LANES]; TILE_TAPS * ROWS];
            for block in 0..blocks {
                let first = block * ROWS;
                let rows = ROWS.min(group_in - first);
                for taps in (0..g.taps()).step_by(TILE_TAPS) {
                    let taps = taps..(taps + TILE_TAPS).min(g.taps());
                    for (tap, tile) in taps.clone().zip(tile.chunks_exact_mut(ROWS)) {
                        let unit = (group * g.taps() + tap) * blocks + block;
                        tile.copy_from_slice(&sums[(unit * panels + panel) * ROWS..][..ROWS]);
                    }
                    for (lane, dw) in dw.chunks_exact_mut(row).enumerate() {
                        for (c, dw) in
                            dw[first * g.taps()..].chunks_exact_mut(g.taps()).take(rows).enumerate()
                        {
                            for (value, tile) in
                                dw[taps.clone()].iter_mut().zip(tile[c..].iter().step_by(ROWS))
                            {
                                *value = tile[lane];
                            }
                        }
                    }
                }
            }
        });
    }
}

/// Copies pixels and pads each group of `from` channels with zeros to `to` channels.
fn widen(pool: &Pool, values: &[f32], from: usize, to: usize) -> Buffer {
    let mut wide = pool.take(values.len() / from * to);
    let tasks = wide.par_chunks_mut(to * PIXELS).zip(values.par_chunks(from * PIXELS));
    tasks.for_each(|(wide, values)| {
        for (to, from) in wide.chunks_exact_mut(to).zip(values.chunks_exact(from)) {
            to[..from.len()].copy_from_slice(from);
            to[from.len()..].fill(0.0);
        }
    });
    wide
}

/// Returns the pixels that `tap` of the kernel reaches: for each output row, the first input pixel and the
/// first output pixel; and the number of pixels that it reaches in a row.
fn segments(
    g: &Geometry,
    tap: usize,
    images: std::ops::Range<usize>,
    pixel_vectors: usize,
) -> (Vec<Segment>, usize) {
    let at = [tap / g.kernel[1] * g.dilation[0], tap % g.kernel[1] * g.dilation[1]];
    // Output positions for which this tap lies inside the image.
    let inside: [std::ops::Range<usize>; 2] = std::array::from_fn(|a| {
        let low = g.padding[a].saturating_sub(at[a]).div_ceil(g.stride[a]);
        let high = (g.input[a] + g.padding[a]).saturating_sub(at[a]).div_ceil(g.stride[a]);
        low..high.min(g.output[a]).max(low)
    });
    let [rows, columns] = inside;
    if columns.is_empty() {
        return (Vec::new(), 0);
    }
    let mut segments = Vec::new();
    for image in images {
        for oy in rows.clone() {
            let y = image * g.input[0] + oy * g.stride[0] + at[0] - g.padding[0];
            let x = columns.start * g.stride[1] + at[1] - g.padding[1];
            let out = (image * g.output[0] + oy) * g.output[1] + columns.start;
            segments.push(Segment {
                broadcast: (y * g.input[1] + x) * g.in_channels,
                vector: out * pixel_vectors,
            });
        }
    }
    (segments, columns.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computes the definition, in f64: (output, gradient of the input, gradient of the weights).
    fn definition(g: &Geometry, x: &[f32], weights: &[f32], dy: &[f32]) -> [Vec<f64>; 3] {
        let mut y = vec![0.0; dy.len()];
        let mut dx = vec![0.0; x.len()];
        let mut dw = vec![0.0; weights.len()];
        for n in 0..g.images {
            for (oy, ox) in (0..g.output[0]).flat_map(|oy| (0..g.output[1]).map(move |ox| (oy, ox))) {
                for o in 0..g.out_channels {
                    let out = ((n * g.output[0] + oy) * g.output[1] + ox) * g.out_channels + o;
                    for tap in 0..g.taps() {
                        let [ky, kx] = [tap / g.kernel[1] * g.dilation[0], tap % g.kernel[1] * g.dilation[1]];
                        let iy = (oy * g.stride[0] + ky).wrapping_sub(g.padding[0]);
                        let ix = (ox * g.stride[1] + kx).wrapping_sub(g.padding[1]);
                        if iy >= g.input[0] || ix >= g.input[1] {
                            continue;
                        }
                        for c in 0..g.group_in() {
                            let channel = o / g.group_out() * g.group_in() + c;
                            let from = ((n * g.input[0] + iy) * g.input[1] + ix) * g.in_channels + channel;
                            let w = (o * g.group_in() + c) * g.taps() + tap;
                            y[out] += f64::from(x[from]) * f64::from(weights[w]);
                            dx[from] += f64::from(dy[out]) * f64::from(weights[w]);
                            dw[w] += f64::from(dy[out]) * f64::from(x[from]);
                        }
                    }
                }
            }
        }
        [y, dx, dw]
    }

    fn noise(len: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 16_777_216.0 - 0.5
        };
        (0..len).map(|_| next()).collect()
    }

    fn geometries() -> Vec<Geometry> {
        let mut all = Vec::new();
        let plain = [
            ([5, 7], [3, 3], [1, 1], [1, 1]),
            ([9, 12], [3, 3], [2, 2], [1, 1]),
            ([8, 8], [3, 3], [2, 2], [1, 1]),
            ([6, 5], [1, 1], [1, 1], [0, 0]),
            ([7, 6], [1, 1], [2, 2], [0, 0]),
            ([11, 9], [7, 7], [2, 2], [3, 3]),
            ([4, 9], [1, 7], [1, 1], [0, 3]),
            ([9, 4], [7, 1], [1, 2], [3, 0]),
            ([8, 10], [2, 3], [3, 2], [0, 1]),
            ([3, 3], [3, 3], [1, 1], [0, 0]),
            ([1, 1], [1, 1], [1, 1], [0, 0]),
            ([10, 10], [2, 2], [4, 4], [0, 0]),
            ([4, 4], [5, 5], [1, 1], [4, 4]),
        ];
        let dilated = [
            ([9, 8], [3, 3], [1, 1], [2, 2], [2, 2]),
            ([11, 12], [3, 3], [2, 2], [2, 3], [2, 3]),
            ([10, 13], [2, 3], [3, 1], [0, 2], [3, 2]),
            ([12, 9], [3, 2], [2, 3], [4, 1], [4, 3]),
        ];
        let plain = plain.map(|(input, kernel, stride, padding)| (input, kernel, stride, padding, [1, 1]));
        for (input, kernel, stride, padding, dilation) in plain.into_iter().chain(dilated) {
            for (images, in_channels, out_channels, groups) in [
                (1, 3, 8, 1),
                (3, 16, 16, 1),
                (2, 20, 33, 1),
                (2, 6, 4, 2),
                (2, 5, 5, 5),
                (1, 34, 68, 2),
                (1, 512, 64, 64),
                (1, 64, 512, 64),
            ] {
                let output = std::array::from_fn(|a| {
                    (input[a] + 2 * padding[a] - (kernel[a] - 1) * dilation[a] - 1) / stride[a] + 1
                });
                all.push(Geometry {
                    images,
                    input,
                    in_channels,
                    output,
                    out_channels,
                    kernel,
                    stride,
                    padding,
                    dilation,
                    groups,
                });
            }
        }
        all
    }

    fn close(found: &[f32], expected: &[f64], what: &str) {
        assert_eq!(found.len(), expected.len());
        for (i, (a, b)) in found.iter().zip(expected).enumerate() {
            assert!((f64::from(*a) - b).abs() < 2e-5, "{what}: value {i} is {a}, expected {b}");
        }
    }

    fn all_three(kernel: Kernel, g: &Geometry) -> [Vec<f32>; 3] {
        let [x, weights, dy] = operands(g);
        // NaN reveals a value that is not written.
        let [mut y, mut dx, mut dw] = [&dy, &x, &weights].map(|like| vec![f32::NAN; like.len()]);
        let plan = Plan::new(kernel, g, &Pool::default());
        plan.forward(&x, &weights, None, &mut y);
        plan.input_gradient(&dy, &weights, &mut dx, false);
        plan.weight_gradient(&x, &dy, &mut dw);
        [y, dx, dw]
    }

    fn operands(g: &Geometry) -> [Vec<f32>; 3] {
        let x = noise(g.images * g.input[0] * g.input[1] * g.in_channels, 1);
        let weights = noise(g.out_channels * g.group_in() * g.taps(), 2);
        let dy = noise(g.images * g.output[0] * g.output[1] * g.out_channels, 3);
        [x, weights, dy]
    }

    #[test]
    fn all_three_agree_with_the_definition() {
        for g in geometries() {
            let [x, weights, dy] = operands(&g);
            let expected = definition(&g, &x, &weights, &dy);
            let found = all_three(Kernel::fastest(), &g);
            for (what, (found, expected)) in ["y", "dx", "dw"].iter().zip(found.iter().zip(&expected)) {
                close(found, expected, &format!("{what} of {g:?}"));
            }
        }
    }

    #[test]
    fn a_bias_and_an_earlier_gradient_are_added_last() {
        for g in geometries() {
            let [x, weights, dy] = operands(&g);
            let [mut y, mut dx, _] = all_three(Kernel::fastest(), &g);
            let bias = noise(g.out_channels, 4);
            let earlier = noise(x.len(), 5);
            y.iter_mut().zip(bias.iter().cycle()).for_each(|(y, bias)| *y += bias);
            dx.iter_mut().zip(&earlier).for_each(|(dx, earlier)| *dx += earlier);
            let (mut biased, mut added) = (vec![f32::NAN; y.len()], earlier);
            let plan = Plan::new(Kernel::fastest(), &g, &Pool::default());
            plan.forward(&x, &weights, Some(&bias), &mut biased);
            plan.input_gradient(&dy, &weights, &mut added, true);
            assert!(biased == y && added == dx, "{g:?}");
        }
    }

    #[test]
    fn neither_threads_nor_instructions_change_a_bit() {
        for g in geometries().into_iter().step_by(3) {
            let run = |threads: usize, kernel: Kernel| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| all_three(kernel, &g))
            };
            let expected = run(1, Kernel::fastest());
            for kernel in Kernel::available() {
                assert!(run(1, kernel) == expected, "{kernel:?}, {g:?}");
            }
            for threads in [2, 3, 7] {
                assert!(run(threads, Kernel::fastest()) == expected, "{threads} threads, {g:?}");
            }
        }
    }
}
