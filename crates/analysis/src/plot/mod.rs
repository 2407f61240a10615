//! Figures, in pixels: estimates, trainings and weights to SVG and PNG.
//!
//! Every figure is a [`Figure`](figure::Figure): a [`Header`](header::Header) with title and legend, and below it
//! [`Panel`](panel::Panel)s. A panel of curves or bars has a [`Frame`](panel::Frame) with axes, a panel of numbers a
//! table of shaded [`fields`]. [`style`] holds all colours.

pub(crate) mod accuracy;
pub(crate) mod axis;
pub(crate) mod comparison;
pub(crate) mod fields;
pub(crate) mod figure;
pub(crate) mod header;
pub(crate) mod large;
pub(crate) mod large_weights;
pub(crate) mod overhead;
pub(crate) mod panel;
pub(crate) mod sensitivity;
pub(crate) mod single_fault;
pub(crate) mod style;
pub(crate) mod training;
