//! The shapes of the ten classes, as signed distances to their outlines.
//!
//! A distance is in pixels, positive outside and negative inside, so that an edge can be blended over one
//! pixel. It is exact if that is cheap. Beyond corners it is too small, which only sharpens or blunts
//! them. Union, intersection and complement of regions are the minimum, the maximum and the negative of
//! distances.

use super::random::Stream;

/// Outward normals of the sides of regular polygons; for the hexagon, one of each opposite pair. They are
/// constants because platforms round sines and cosines differently.
const TRIANGLE: [[f32; 2]; 3] = [[1.0, 0.0], [-0.5, 0.866_025_4], [-0.5, -0.866_025_4]];
const PENTAGON: [[f32; 2]; 5] = [
    [1.0, 0.0],
    [0.309_017, 0.951_056_5],
    [-0.809_017, 0.587_785_25],
    [-0.809_017, -0.587_785_25],
    [0.309_017, -0.951_056_5],
];
const HEXAGON: [[f32; 2]; 3] = [[1.0, 0.0], [0.5, 0.866_025_4], [-0.5, 0.866_025_4]];

/// A shape of a class with its proportions, in its own frame: the origin is its centre, lengths are in
/// pixels.
pub(super) enum Shape {
    Disc { radius: f32 },
    Ring { middle: f32, half_width: f32 },
    Triangle { apothem: f32 },
    Square { apothem: f32 },
    Hexagon { apothem: f32 },
    Star { apothem: f32 },
    Cross { length: f32, half_width: f32 },
    Crescent { radius: f32, bite: f32, shift: f32 },
    Stripes { patch: Patch, period: f32, phase: f32 },
    Checkerboard { patch: Patch, period: f32, phase: [f32; 2] },
}

/// The visible region of a texture.
#[derive(Clone, Copy)]
pub(super) enum Patch {
    Round(f32),
    Square(f32),
}

impl Patch {
    fn random(random: &mut Stream, size: f32) -> Self {
        if random.one_in(2) { Patch::Round(size) } else { Patch::Square(0.88 * size) }
    }

    fn distance(self, x: f32, y: f32) -> f32 {
        match self {
            Patch::Round(radius) => length(x, y) - radius,
            Patch::Square(apothem) => square(x, y, apothem),
        }
    }
}

impl Shape {
    /// Draws a shape of class `label`. Shapes of one `size`, in pixels, have similar areas: between two
    /// fifths and all of the area of a disc with this radius.
    pub(super) fn random(label: u16, size: f32, random: &mut Stream) -> Self {
        match label {
            0 => Shape::Disc { radius: size },
            1 => {
                let width = size * random.between(0.35, 0.7);
                Shape::Ring { middle: 1.1 * size - width / 2.0, half_width: width / 2.0 }
            }
            2 => Shape::Triangle { apothem: 0.72 * size },
            3 => Shape::Square { apothem: 0.88 * size },
            4 => Shape::Hexagon { apothem: 0.95 * size },
            5 => Shape::Star { apothem: size * random.between(0.42, 0.5) },
            6 => Shape::Cross { length: 1.1 * size, half_width: size * random.between(0.28, 0.48) },
            7 => Shape::Crescent {
                radius: 1.1 * size,
                bite: size * random.between(0.75, 0.95),
                shift: size * random.between(0.5, 0.8),
            },
            8 => Shape::Stripes {
                patch: Patch::random(random, size),
                period: random.between(3.6, 6.0),
                phase: random.between(0.0, 1.0),
            },
            _ => Shape::Checkerboard {
                patch: Patch::random(random, size),
                period: random.between(5.0, 8.0),
                phase: [random.between(0.0, 1.0), random.between(0.0, 1.0)],
            },
        }
    }

    /// Calls `paint` with the distance function of this shape.
    pub(super) fn with_distance(&self, paint: impl FnOnce(&dyn Fn(f32, f32) -> f32)) {
        match *self {
            Shape::Disc { radius } => paint(&|x, y| length(x, y) - radius),
            Shape::Ring { middle, half_width } => paint(&|x, y| (length(x, y) - middle).abs() - half_width),
            Shape::Triangle { apothem } => paint(&|x, y| {
                let [a, b, c] = TRIANGLE.map(|[nx, ny]| nx * x + ny * y);
                a.max(b).max(c) - apothem
            }),
            Shape::Square { apothem } => paint(&|x, y| square(x, y, apothem)),
            Shape::Hexagon { apothem } => paint(&|x, y| {
                let [a, b, c] = HEXAGON.map(|[nx, ny]| (nx * x + ny * y).abs());
                a.max(b).max(c) - apothem
            }),
            // A pentagram consists of the points outside at most one of the five sides.
            Shape::Star { apothem } => paint(&|x, y| {
                let mut largest = f32::MIN;
                let mut second = f32::MIN;
                for [nx, ny] in PENTAGON {
                    let side = nx * x + ny * y;
                    second = second.max(side.min(largest));
                    largest = largest.max(side);
                }
                second - apothem
            }),
            Shape::Cross { length, half_width } => paint(&|x, y| {
                let (x, y) = (x.abs(), y.abs());
                (x - length).max(y - half_width).min((x - half_width).max(y - length))
            }),
            Shape::Crescent { radius, bite, shift } => {
                paint(&|x, y| (length(x, y) - radius).max(bite - length(x - shift, y)));
            }
            Shape::Stripes { patch, period, phase } => {
                paint(&|x, y| patch.distance(x, y).max(stripe(x, period, phase)));
            }
            Shape::Checkerboard { patch, period, phase } => paint(&|x, y| {
                let (a, b) = (stripe(x, period, phase[0]), stripe(y, period, phase[1]));
                patch.distance(x, y).max(a.min(b).max(-a.max(b)))
            }),
        }
    }
}

fn length(x: f32, y: f32) -> f32 {
    (x * x + y * y).sqrt()
}

fn square(x: f32, y: f32, apothem: f32) -> f32 {
    x.abs().max(y.abs()) - apothem
}

/// Distance to the nearest edge of stripes across x; stripes and gaps have the same width.
fn stripe(x: f32, period: f32, phase: f32) -> f32 {
    let place = x / period + phase;
    ((place - place.floor() - 0.5).abs() - 0.25) * period
}

#[cfg(test)]
mod tests {
    use super::super::random::{Purpose, Stream};
    use super::Shape;
    use crate::Split;

    /// x, y, and true if the point belongs to the shape.
    type Point = (f32, f32, bool);

    fn inside(shape: &Shape, x: f32, y: f32) -> bool {
        let mut found = 0.0;
        shape.with_distance(|distance| found = distance(x, y));
        found < 0.0
    }

    #[test]
    fn shapes_are_what_their_names_say() {
        let cases: [(Shape, &[Point]); 8] = [
            (Shape::Disc { radius: 5.0 }, &[(0.0, 0.0, true), (3.0, 3.9, true), (3.0, 4.1, false)]),
            (
                Shape::Ring { middle: 4.0, half_width: 1.0 },
                &[
                    (0.0, 0.0, false),
                    (0.0, 2.9, false),
                    (0.0, -3.1, true),
                    (4.9, 0.0, true),
                    (5.1, 0.0, false),
                ],
            ),
            // One side lies at x = 2, the opposite corner at x = -4.
            (Shape::Triangle { apothem: 2.0 }, &[(1.9, 0.0, true), (2.1, 0.0, false), (-3.9, 0.0, true)]),
            (Shape::Square { apothem: 2.0 }, &[(1.9, -1.9, true), (0.0, 2.1, false), (-2.1, 0.0, false)]),
            // Corners lie 2 / cos 30 degrees = 2.31 away, on the y axis.
            (Shape::Hexagon { apothem: 2.0 }, &[(2.1, 0.0, false), (0.0, 2.25, true), (0.0, 2.35, false)]),
            // Points lie 2 / cos 72 degrees = 6.47 away, notches 2 / cos 36 degrees = 2.47.
            (
                Shape::Star { apothem: 2.0 },
                &[(6.4, 0.0, true), (6.5, 0.0, false), (-2.4, 0.0, true), (-2.5, 0.0, false)],
            ),
            (
                Shape::Cross { length: 5.0, half_width: 1.0 },
                &[(4.9, 0.9, true), (0.9, -4.9, true), (1.1, 1.1, false), (5.1, 0.0, false)],
            ),
            (
                Shape::Crescent { radius: 5.0, bite: 3.0, shift: 3.0 },
                &[(-0.1, 0.0, true), (0.1, 0.0, false), (-4.9, 0.0, true), (4.9, 0.0, false)],
            ),
        ];
        for (case, (shape, points)) in cases.iter().enumerate() {
            for &(x, y, expected) in *points {
                assert_eq!(inside(shape, x, y), expected, "case {case} at {x}, {y}");
            }
        }
    }

    #[test]
    fn textures_alternate_within_their_patch() {
        use super::Patch::{Round, Square};
        let stripes = Shape::Stripes { patch: Round(9.0), period: 4.0, phase: 0.5 };
        let xs = [-7.9, -5.0, -4.1, -3.0, -2.0, -0.9, 0.0, 0.9, 2.0, 3.1, 4.0, 12.0];
        let found = xs.map(|x| inside(&stripes, x, 0.5));
        assert_eq!(found, xs.map(|x: f32| x.abs() < 9.0 && (x / 4.0 - (x / 4.0).round()).abs() < 0.25));
        let board = Shape::Checkerboard { patch: Square(8.0), period: 4.0, phase: [0.5, 0.5] };
        assert!(inside(&board, 0.0, 2.0) && inside(&board, 2.0, 0.0) && inside(&board, 2.0, 4.0));
        assert!(!inside(&board, 0.0, 0.0) && !inside(&board, 2.0, 2.0) && !inside(&board, 0.0, 10.0));
    }

    /// Similar areas keep the amount of foreign colour from revealing the class.
    #[test]
    fn areas_are_similar() {
        let mut random = Stream::new(1, Split::Train, Purpose::Image, 0);
        for label in 0..10 {
            let shapes: Vec<Shape> = (0..20).map(|_| Shape::random(label, 8.0, &mut random)).collect();
            for shape in &shapes {
                let grid = || (0..96).map(|i| (i as f32 - 47.5) / 3.0);
                let area =
                    grid().flat_map(|y| grid().map(move |x| (x, y))).filter(|&(x, y)| inside(shape, x, y));
                let share = area.count() as f64 / 9.0 / (64.0 * std::f64::consts::PI);
                assert!((0.4..=1.05).contains(&share), "class {label} covers {share} of a disc");
            }
        }
    }
}
