//! Layer norms that a file writes out.
//!
//! Before operator set 17, exporters write `LayerNormalization` as the arithmetic that defines it:
//! `c = x - mean(x)`, then `c / sqrt(mean(c * c) + epsilon)`, with means over channels. A [`Normalization`] is a
//! value in the middle of this arithmetic. It makes no layer; the division at the end makes one, with weights of 1
//! and biases of 0, into which [`Converter::affine`] folds the products and sums after it.

use graph::Op;
use quant::FloatTensor;

use super::attribute::flag;
use super::convert::{Converter, Done, Value, label};
use super::fold::axis_of;
use super::message::Node;
use super::place::Place;

/// A value in the middle of a layer norm over the channels of a place.
#[derive(Clone)]
pub(super) struct Normalization {
    /// The place that is normalized.
    of: Place,
    /// Name of the node that computes the value.
    pub(super) name: String,
    step: Step,
}

/// The part of a layer norm that a value is.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    Mean,
    Centered,
    Squared,
    /// The mean of squares plus a number.
    Variance(f64),
    /// Square root of the variance plus `epsilon`.
    Deviation {
        epsilon: f64,
    },
    /// One divided by the deviation.
    Inverse {
        epsilon: f64,
    },
}

impl<'a> Converter<'a> {
    /// Converts a node of a layer norm that is written out; `None` if the node is no part of one.
    pub(super) fn normalized(&mut self, node: &'a Node) -> Done<Option<Value<'a>>> {
        let operator = node.op_type.as_str();
        let [first, second] = [0, 1].map(|i| match self.value_of(node, i) {
            Some(Value::Normalization(part)) => Some(part.clone()),
            _ => None,
        });
        if operator == "ReduceMean" && second.is_none() {
            return match first {
                None => self.mean_of_channels(node),
                Some(part) if part.step == Step::Squared && self.reduces_channels(node, &part.of)? => {
                    Ok(Some(part.at(node, Step::Variance(0.0))))
                }
                Some(_) => Ok(None),
            };
        }
        let is_same = |a: &Place, b: &Place| a.place == b.place && a.dims == b.dims && a.order == b.order;
        if let ("Sub", None, Some(part)) = (operator, &first, &second)
            && part.step == Step::Mean
            && self.is_computed(node)
        {
            let x = self.place(node, 0)?;
            return Ok(is_same(&x, &part.of).then(|| part.at(node, Step::Centered)));
        }
        let Some(a) = first.as_ref().or(second.as_ref()) else { return Ok(None) };
        let (step, pair) = (a.step, first.as_ref().zip(second.as_ref()));
        let step = match (operator, step) {
            ("Cast" | "Identity", step) => step,
            ("Pow", Step::Centered) if second.is_none() && self.number(node, 1)? == 2.0 => Step::Squared,
            ("Mul", _) if let Some((a, b)) = pair => match (a.step, b.step) {
                _ if !is_same(&a.of, &b.of) => return Ok(None),
                (Step::Centered, Step::Centered) => Step::Squared,
                (Step::Centered, Step::Inverse { epsilon }) | (Step::Inverse { epsilon }, Step::Centered) => {
                    return self.normal(node, &a.of, epsilon).map(Some);
                }
                _ => return Ok(None),
            },
            ("Add", Step::Variance(sum)) if pair.is_none() => {
                let constant = usize::from(first.is_some());
                Step::Variance(sum + decimal(self.number(node, constant)?))
            }
            ("Sqrt", Step::Variance(epsilon)) => Step::Deviation { epsilon },
            ("Pow", Step::Variance(epsilon)) if second.is_none() && self.number(node, 1)? == 0.5 => {
                Step::Deviation { epsilon }
            }
            ("Reciprocal", Step::Deviation { epsilon }) => Step::Inverse { epsilon },
            ("Div", Step::Centered) => match pair {
                Some((a, b)) if is_same(&a.of, &b.of) => match b.step {
                    Step::Deviation { epsilon } => return self.normal(node, &a.of, epsilon).map(Some),
                    _ => return Ok(None),
                },
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        Ok(Some(a.at(node, step)))
    }

    /// True if the first input is a place, without a border or a slice that would become a layer.
    fn is_computed(&self, node: &Node) -> bool {
        matches!(self.value_of(node, 0), Some(Value::Place(_) | Value::Scalar(_)))
    }

    /// Converts a mean over the channels of each pixel.
    fn mean_of_channels(&mut self, node: &'a Node) -> Done<Option<Value<'a>>> {
        if !self.is_computed(node) {
            return Ok(None);
        }
        let of = self.place(node, 0)?;
        if !self.reduces_channels(node, &of)? {
            return Ok(None);
        }
        Ok(Some(Value::Normalization(Normalization { of, name: label(node), step: Step::Mean })))
    }

    /// True if a reduction runs over the channels of an image, or over features, and keeps their axis.
    fn reduces_channels(&self, node: &'a Node, x: &Place) -> Done<bool> {
        let axes = self.axes(node)?.unwrap_or_default();
        let [axis] = *axes else { return Ok(false) };
        let axis = axis_of(axis, x.dims.len())?;
        let is_image = self.shapes[x.place].len() == 3;
        let channels = if is_image == (x.sizes.len() == 3) { x.channel_axis_of_any() } else { None };
        Ok(flag(node, "keepdims", true)? && channels == Some(axis) && x.dims[axis] > 1)
    }

    fn normal(&mut self, node: &'a Node, x: &Place, epsilon: f64) -> Done<Value<'a>> {
        let channels = self.channels(x);
        let place = self.push_alike(label(node), Op::LayerNorm { epsilon }, x)?;
        self.set(place.place, "weight", FloatTensor::new(vec![channels], vec![1.0; channels]));
        self.set(place.place, "bias", FloatTensor::new(vec![channels], vec![0.0; channels]));
        Ok(Value::Place(place))
    }
}

impl Normalization {
    fn at<'a>(&self, node: &Node, step: Step) -> Value<'a> {
        Value::Normalization(Self { step, name: label(node), ..self.clone() })
    }
}

/// Returns the decimal that a float was written as, such as 1e-6.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().expect("a float prints as a float")
}
