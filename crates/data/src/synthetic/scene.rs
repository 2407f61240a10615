//! Draws one image: background, distractors, the shape, an occluder, noise.

use super::random::Stream;
use super::shape::Shape;

/// Pixels along a side of an image.
const SIDE: usize = 32;
const PIXELS: usize = SIDE * SIDE;
/// Nodes along a side of the grid of background noise, 8 pixels apart. The last row of nodes lies on the far
/// edge.
const NODES: usize = 5;
const NODE_PIXELS: usize = 8;

type Color = [f32; 3];

/// Appends an image of class `label`, as CHW bytes.
pub(super) fn draw(label: u16, random: &mut Stream, pixels: &mut Vec<u8>) {
    let base: Color = std::array::from_fn(|_| random.between(70.0, 185.0));
    let mut canvas = Canvas::background(base, random);
    for _ in 0..random.below(3) {
        canvas.distractor(base, random);
    }
    let size = random.between(6.5, 10.5);
    let reach = SIDE as f32 / 2.0 - size - 1.0;
    let middle: [f32; 2] = std::array::from_fn(|_| (SIDE as f32 - 1.0) / 2.0 + random.between(-reach, reach));
    let axis = random.direction();
    let stretch = random.between(0.85, 1.18);
    let color = contrasting(base, 50.0, 130.0, random);
    Shape::random(label, size, random).with_distance(|distance| {
        canvas.fill(color, middle, axis, |x, y| distance(x * stretch, y / stretch));
    });
    if random.one_in(3) {
        let axis = random.direction();
        let offset = size * random.between(-0.8, 0.8);
        let half_width = random.between(0.8, 1.6);
        let color = contrasting(base, 20.0, 90.0, random);
        canvas.fill(color, middle, axis, |x, _| (x - offset).abs() - half_width);
    }
    let noise = random.between(2.0, 12.0);
    canvas.finish(noise, random, pixels);
}

/// Returns a colour at a distance of `low` to `high` from `base`, in a random direction of the RGB cube.
fn contrasting(base: Color, low: f32, high: f32, random: &mut Stream) -> Color {
    let contrast = random.between(low, high);
    let direction: Color = random.direction();
    std::array::from_fn(|c| base[c] + contrast * direction[c])
}

struct Canvas([[f32; PIXELS]; 3]);

impl Canvas {
    /// Makes a smooth background by linear interpolation between random nodes.
    fn background(base: Color, random: &mut Stream) -> Self {
        let amplitude = random.between(3.0, 22.0);
        let mut canvas = [[0.0; PIXELS]; 3];
        let shared: [[f32; NODES]; NODES] =
            std::array::from_fn(|_| std::array::from_fn(|_| random.between(-1.0, 1.0)));
        for (plane, base) in canvas.iter_mut().zip(base) {
            let nodes = shared.map(|row| row.map(|n| base + amplitude * (n + random.between(-0.4, 0.4))));
            for (y, line) in plane.chunks_exact_mut(SIDE).enumerate() {
                let down = (y % NODE_PIXELS) as f32 / NODE_PIXELS as f32;
                let (above, below) = (nodes[y / NODE_PIXELS], nodes[y / NODE_PIXELS + 1]);
                let row: [f32; NODES] = std::array::from_fn(|i| above[i] + down * (below[i] - above[i]));
                for (x, pixel) in line.iter_mut().enumerate() {
                    let right = (x % NODE_PIXELS) as f32 / NODE_PIXELS as f32;
                    let (near, far) = (row[x / NODE_PIXELS], row[x / NODE_PIXELS + 1]);
                    *pixel = near + right * (far - near);
                }
            }
        }
        Canvas(canvas)
    }

    /// Draws a short stroke at a random position. It is independent of the class.
    fn distractor(&mut self, base: Color, random: &mut Stream) {
        let middle: [f32; 2] = std::array::from_fn(|_| random.between(0.0, SIDE as f32));
        let axis = random.direction();
        let half_length = random.between(0.5, 4.5);
        let half_width = random.between(0.6, 1.4);
        let color = contrasting(base, 20.0, 80.0, random);
        self.fill(color, middle, axis, |x, y| (x.abs() - half_length).max(y.abs() - half_width));
    }

    /// Fills the region in which `distance` is negative. The frame of `distance` has its origin at `middle`
    /// and its x axis along `axis`. Edges are blended over one pixel.
    fn fill(&mut self, color: Color, middle: [f32; 2], axis: [f32; 2], distance: impl Fn(f32, f32) -> f32) {
        let Canvas([red, green, blue]) = self;
        for y in 0..SIDE {
            for x in 0..SIDE {
                let (dx, dy) = (x as f32 - middle[0], y as f32 - middle[1]);
                let (along, across) = (dx * axis[0] + dy * axis[1], dy * axis[0] - dx * axis[1]);
                let cover = (0.5 - distance(along, across)).clamp(0.0, 1.0);
                if cover > 0.0 {
                    let i = y * SIDE + x;
                    red[i] += cover * (color[0] - red[i]);
                    green[i] += cover * (color[1] - green[i]);
                    blue[i] += cover * (color[2] - blue[i]);
                }
            }
        }
    }

    /// Adds noise and rounds. The noise of a value is the difference of two uniform 10-bit numbers, scaled: a
    /// triangular distribution with standard deviation `deviation`.
    fn finish(self, deviation: f32, random: &mut Stream, pixels: &mut Vec<u8>) {
        // The difference of two uniform numbers below 1024 has the standard deviation 1024 / sqrt(6) = 418.
        let scale = deviation / 418.0;
        let start = pixels.len();
        pixels.resize(start + 3 * PIXELS, 0);
        let (red, rest) = pixels[start..].split_at_mut(PIXELS);
        let (green, blue) = rest.split_at_mut(PIXELS);
        for i in 0..PIXELS {
            let bits = random.bits();
            let noise = |shift: u32| {
                let field = |shift: u32| ((bits >> shift) & 1023) as i32;
                scale * (field(shift) - field(shift + 10)) as f32
            };
            // The conversion truncates and saturates at 0 and 255.
            red[i] = (self.0[0][i] + noise(0) + 0.5) as u8;
            green[i] = (self.0[1][i] + noise(20) + 0.5) as u8;
            blue[i] = (self.0[2][i] + noise(40) + 0.5) as u8;
        }
    }
}
