//! Operators that move levels: shapes, slices and channel shuffles.

use graph::Op;

use super::{At, Done, Form, Reader, Value, attribute, check_axis, int, ints, label};
use crate::import::onnx::attribute::extent;
use crate::import::onnx::message::Node;

impl<'a> Reader<'a> {
    pub(super) fn flattened(&mut self, name: String, at: At) -> Done<At> {
        match self.shapes[at.place].len() {
            1 if at.form == Form::Own => Ok(at),
            _ => self.moved(name, Op::Flatten, at),
        }
    }

    /// Shape in ONNX without the batch.
    fn dims(&self, at: At) -> Vec<usize> {
        let shape = &self.shapes[at.place];
        match at.form {
            Form::Own => shape.clone(),
            Form::Grouped(groups) => [&[groups, shape[0] / groups], &shape[1..]].concat(),
            Form::Swapped(groups) => [&[shape[0] / groups, groups], &shape[1..]].concat(),
        }
    }

    pub(super) fn reshaped(&mut self, name: String, at: At, target: &[i64]) -> Done<At> {
        let dims = self.dims(at);
        let all: usize = dims.iter().product();
        let expected = "expected a list of features, or the groups of a channel shuffle";
        let wrong = || format!("reshapes {dims:?} of each image to {target:?}, {expected}");
        let Some((_, target_dims)) = target.split_first() else { return Err(wrong()) };
        let mut to = Vec::new();
        for (i, &size) in target_dims.iter().enumerate() {
            to.push(match size {
                0 => *dims.get(i).ok_or_else(wrong)?,
                -1 => 0,
                size => extent(size, 1, "shape").map_err(|_| wrong())?,
            });
        }
        // The batch is the free size, or one image.
        if !matches!(target[0], -1..=1) {
            return Err(format!("reshapes a batch of {}, expected a free batch or one image", target[0]));
        }
        let known = to.iter().filter(|&&n| n > 0).try_fold(1usize, |product, &n| product.checked_mul(n));
        let known = known.ok_or_else(wrong)?;
        let free: Vec<usize> = (0..to.len()).filter(|&i| to[i] == 0).collect();
        match free.as_slice() {
            [] => {}
            [i] if all.is_multiple_of(known) => to[*i] = all / known,
            _ => return Err(wrong()),
        }
        if to.iter().try_fold(1usize, |product, &n| product.checked_mul(n)) != Some(all) {
            return Err(wrong());
        }
        let shape = self.shapes[at.place].clone();
        match (at.form, to.as_slice()) {
            (Form::Own, to) if *to == shape => Ok(at),
            (Form::Own, [_]) => self.flattened(name, at),
            (Form::Own, [_, 1, 1]) if shape.len() == 1 => Ok(at),
            (Form::Own, [groups, each, rest @ ..])
                if shape.len() == 3 && *rest == shape[1..] && groups * each == shape[0] =>
            {
                Ok(At { form: Form::Grouped(*groups), ..at })
            }
            (Form::Swapped(groups), to) if *to == shape => {
                let at = At { form: Form::Own, ..at };
                self.moved(name, Op::ChannelShuffle { groups }, at)
            }
            (Form::Grouped(_), to) if *to == shape => Ok(At { form: Form::Own, ..at }),
            _ => Err(wrong()),
        }
    }

    /// Axes of size one appear or disappear: features have one shape here.
    pub(super) fn squeezed(&self, at: At) -> Done<At> {
        let shape = &self.shapes[at.place];
        let is_features = shape.len() == 1 || shape[1..] == [1, 1];
        match (at.form, is_features) {
            (Form::Own, true) => Ok(at),
            _ => Err(format!("changes the axes of {shape:?} of each image, expected one value a channel")),
        }
    }

    /// First channel and number of channels of a `Slice`.
    pub(super) fn slice_bounds(&self, node: &'a Node) -> Done<[usize; 2]> {
        let list = |i: usize, name: &str| match self.has(node, i) {
            true => self.integers(node, i).map(Some),
            false => Ok(ints(node, name).map(<[i64]>::to_vec)),
        };
        let starts = list(1, "starts")?.ok_or("has no starts")?;
        let ends = list(2, "ends")?.ok_or("has no ends")?;
        let axes = list(3, "axes")?.unwrap_or_else(|| vec![0]);
        let steps = list(4, "steps")?.unwrap_or_else(|| vec![1]);
        let ([start], [end], [1], [1]) = (&starts[..], &ends[..], &axes[..], &steps[..]) else {
            return Err(format!(
                "slices {starts:?}..{ends:?} of axes {axes:?} by {steps:?}, expected consecutive channels"
            ));
        };
        let (Value::Levels(at) | Value::Real(at)) = *self.lookup(node, 0)? else {
            return Err("slices a value without levels".into());
        };
        let channels = self.shapes[at.place][0] as i64;
        let place = |n: i64| (if n < 0 { n.saturating_add(channels) } else { n }).clamp(0, channels) as usize;
        let (first, end) = (place(*start), place(*end));
        Ok([first, end.saturating_sub(first)])
    }

    pub(super) fn split(&mut self, node: &'a Node) -> Done<()> {
        check_axis(node, "axis", 1)?;
        if attribute(node, "axis").is_none() {
            return Err("splits the batch, expected axis 1".into());
        }
        let value = self.lookup(node, 0)?.clone();
        let (Value::Levels(at) | Value::Real(at)) = value else {
            return Err("splits a value without levels".into());
        };
        let channels = self.shapes[at.place][0];
        let sizes = match (self.has(node, 1), ints(node, "split")) {
            (true, _) => self.integers(node, 1)?,
            (false, Some(sizes)) => sizes.to_vec(),
            (false, None) => {
                let parts = int(node, "num_outputs", node.output.len() as i64);
                let parts = extent(parts, 1, "num_outputs")?;
                let each = channels.div_ceil(parts);
                let size = |part: usize| channels.saturating_sub(part * each).min(each) as i64;
                (0..parts).map(size).collect()
            }
        };
        if sizes.len() != node.output.len() {
            return Err(format!("has {} outputs, expected {}", node.output.len(), sizes.len()));
        }
        let mut first = 0;
        for (output, &size) in node.output.iter().zip(&sizes) {
            let size = extent(size, 1, "split")?;
            let part = self.moved(label(node), Op::ChannelSlice { first, channels: size }, at)?;
            first += size;
            let part =
                if matches!(value, Value::Levels(_)) { Value::Levels(part) } else { Value::Real(part) };
            self.values.insert(output, part);
        }
        Ok(())
    }
}

/// The transposition of a channel shuffle.
pub(super) fn transposed(node: &Node, at: At) -> Done<At> {
    match (at.form, ints(node, "perm")) {
        (Form::Grouped(groups), Some([0, 2, 1, 3, 4])) => Ok(At { form: Form::Swapped(groups), ..at }),
        (_, found) => Err(format!(
            "perm is {:?}, expected [0, 2, 1, 3, 4] between the two Reshapes of a channel shuffle",
            found.unwrap_or(&[])
        )),
    }
}
