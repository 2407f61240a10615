//! Converts nodes that change only the shape or the order of values.

use graph::Op;

use super::attribute::{flag, int, ints};
use super::convert::{Converter, Done, Value, label};
use super::fold::axis_of;
use super::message::Node;
use super::place::Place;
use super::tensor::{Constant, MAX_INTEGERS, read_at_most};

impl<'a> Converter<'a> {
    pub(super) fn reshape(&mut self, node: &'a Node) -> Done<Place> {
        let x = self.any_place(node, 0)?;
        if node.op_type == "Transpose" {
            let perm = self.permutation(node, x.dims.len())?;
            return x.transposed(&perm);
        }
        if node.op_type == "Squeeze" {
            let axes = self.axes(node)?;
            let axes =
                axes.ok_or("axes are missing, expected them to be given: the batch would be dropped too")?;
            if axes.contains(&0) || axes.contains(&-(x.dims.len() as i64)) {
                return Err(format!("axes are {axes:?}, expected the batch, 0, to stay"));
            }
        }
        let dims = self.new_shape(node, &x.dims)?;
        if dims.len() > MAX_INTEGERS {
            return Err(format!("makes {} dimensions, expected at most {MAX_INTEGERS}", dims.len()));
        }
        let batch = x.dims[0];
        if dims.first() != Some(&batch) {
            return Err(format!(
                "makes {dims:?} of {:?}, expected the batch, {batch}, to stay in front",
                x.dims
            ));
        }
        let is_flat = dims.len() <= 2;
        let own = self.shapes[x.place].clone();
        let (mut place, groups) = x.reshaped(dims).divided().united(&own);
        if let Some(groups) = groups {
            let shuffled = self.push(label(node), Op::ChannelShuffle { groups }, &[&place])?;
            place = Place { place: shuffled, shared: false, ..place };
        }
        if is_flat { self.flattened(place, &label(node)) } else { Ok(place) }
    }

    /// Converts a reshape of features that drops a batch of 1. PyTorch writes an `as_strided` so, and a `Gather` that
    /// restores the batch.
    pub(super) fn listed(&mut self, node: &'a Node) -> Done<Option<Value<'a>>> {
        let x = self.any_place(node, 0)?;
        let dims = self.new_shape(node, &x.dims)?;
        let is_list = x.dims[0] == 1 && dims.len() == 1 && dims[0] > 1 && self.shapes[x.place].len() == 1;
        Ok((is_list && !x.is_moved()).then_some(Value::Listed(x)))
    }

    /// Converts a `Gather` that takes all values of a list in their order, in a shape with a batch of 1.
    pub(super) fn restored(&mut self, node: &'a Node) -> Done<Option<Place>> {
        let (Some(Value::Listed(x)), Some(Value::Tensor(tensor))) =
            (self.value_of(node, 0), self.value_of(node, 1))
        else {
            return Ok(None);
        };
        let (x, features) = (x.clone(), self.shapes[x.place][0]);
        self.spend(2 * tensor.bytes())?;
        let Constant::Int { shape, values } = read_at_most(tensor, self.folder(), features)? else {
            return Err("has floats as indices, expected integers".into());
        };
        let is_whole = values.into_iter().eq(0..features as i64);
        if !is_whole || shape[0] != 1 || shape.len() > MAX_INTEGERS || int(node, "axis", 0) != 0 {
            return Err(format!(
                "takes values of a list of {features}, expected all in their order, with a batch of 1 in front"
            ));
        }
        Ok(Some(x.reshaped(shape)))
    }

    /// Returns the axes of a `Squeeze`, an `Unsqueeze` or a reduction: an attribute, or an input in later
    /// operator sets.
    pub(super) fn axes(&self, node: &'a Node) -> Done<Option<Vec<i64>>> {
        let late = node.op_type.starts_with("Reduce") && node.op_type != "ReduceSum";
        let as_input = if late { 18 } else { 13 };
        if self.opset() < as_input {
            return Ok(ints(node, "axes").map(<[i64]>::to_vec));
        }
        self.has(node, 1).then(|| self.integers(node, 1)).transpose()
    }

    /// Returns the output shape of a node.
    pub(super) fn new_shape(&self, node: &'a Node, from: &[usize]) -> Done<Vec<usize>> {
        match node.op_type.as_str() {
            "Flatten" => {
                // This axis may be 0..=rank, unlike others.
                let axis = int(node, "axis", 1);
                let positive = if axis < 0 { axis.saturating_add(from.len() as i64) } else { axis };
                match positive {
                    1 => Ok(vec![from[0], from[1..].iter().product()]),
                    _ => Err(format!("axis is {axis}, expected 1: each image is flattened on its own")),
                }
            }
            "Squeeze" => {
                let chosen = match self.axes(node)? {
                    Some(axes) => {
                        axes.iter().map(|&axis| axis_of(axis, from.len())).collect::<Done<Vec<_>>>()?
                    }
                    None => (0..from.len()).filter(|&axis| from[axis] == 1).collect(),
                };
                if let Some(&wrong) = chosen.iter().find(|&&axis| from[axis] != 1) {
                    return Err(format!("drops axis {wrong} of {from:?}, expected axes of size 1"));
                }
                let kept = from.iter().enumerate().filter(|(axis, _)| !chosen.contains(axis));
                Ok(kept.map(|(_, &size)| size).collect())
            }
            "Unsqueeze" => {
                let axes = self.axes(node)?.ok_or("axes are missing")?;
                let rank = from.len() + axes.len();
                if rank > MAX_INTEGERS {
                    return Err(format!("makes {rank} dimensions, expected at most {MAX_INTEGERS}"));
                }
                let chosen = axes.iter().map(|&axis| axis_of(axis, rank)).collect::<Done<Vec<_>>>()?;
                let mut old = from.iter();
                let size = |axis| if chosen.contains(&axis) { Some(1) } else { old.next().copied() };
                let dims: Option<Vec<usize>> = (0..rank).map(size).collect();
                dims.ok_or_else(|| format!("axes are {axes:?}, expected each once"))
            }
            _ => {
                let shape = self.integers(node, 1)?;
                resolve(&shape, from, flag(node, "allowzero", false)?)
            }
        }
    }

    /// Returns a place as features: an image gets a layer that flattens it.
    pub(super) fn flattened(&mut self, x: Place, name: &str) -> Done<Place> {
        if self.shapes[x.place].len() == 1 {
            return Ok(x);
        }
        let flat = self.push(name.into(), Op::Flatten, &[&x])?;
        Ok(Place { place: flat, shared: false, ..x })
    }
}

/// Resolves the zeros (keep the size) and the -1 (fill up) of a shape.
fn resolve(shape: &[i64], from: &[usize], allow_zero: bool) -> Done<Vec<usize>> {
    let wrong = || format!("makes {shape:?} of {from:?}, expected equal numbers of values");
    let mut dims = Vec::new();
    let mut open = None;
    for (i, &size) in shape.iter().enumerate() {
        dims.push(match size {
            -1 if open.is_none() => {
                open = Some(i);
                1
            }
            0 if !allow_zero => *from.get(i).ok_or_else(wrong)?,
            _ => usize::try_from(size).map_err(|_| wrong())?,
        });
    }
    let known = dims.iter().try_fold(1usize, |product, &n| product.checked_mul(n)).ok_or_else(wrong)?;
    let all: usize = from.iter().product();
    if let Some(open) = open {
        dims[open] = all.checked_div(known).ok_or_else(wrong)?;
    }
    if dims.iter().try_fold(1usize, |product, &n| product.checked_mul(n)) != Some(all) {
        return Err(wrong());
    }
    Ok(dims)
}
