//! Shapes: the nodes that give the same values another one, and the arithmetic that exporters put before them.

use std::collections::BTreeSet;

use quant::LayerOp;

use super::attribute::{int, ints};
use super::convert::{Converter, Done, Place, Value, label};
use super::message::Node;
use super::tensor::{Constant, MAX_INTEGERS};

impl<'a> Converter<'a> {
    /// Integers chosen from a list.
    pub(super) fn gather(&self, node: &'a Node) -> Done<Value<'a>> {
        let (values, indices) = (self.integers(node, 0)?, self.integers(node, 1)?);
        let chosen = indices.iter().map(|&index| {
            let place = if index < 0 { index + values.len() as i64 } else { index };
            let value = usize::try_from(place).ok().and_then(|place| values.get(place)).copied();
            value.ok_or_else(|| format!("index {index} lies outside of {} values", values.len()))
        });
        Ok(Value::Constant(Constant::Int(chosen.collect::<Done<_>>()?)))
    }

    pub(super) fn reshape(&mut self, node: &'a Node) -> Done<Place> {
        let x = self.place(node, 0)?;
        let dims = self.reshaped(node, &x)?;
        if dims.len() > MAX_INTEGERS {
            return Err(format!("makes {} dimensions, expected at most {MAX_INTEGERS}", dims.len()));
        }
        self.with_dims(x, dims, &label(node))
    }

    /// The shape that a node wants.
    fn reshaped(&self, node: &'a Node, x: &Place) -> Done<Vec<usize>> {
        let rank = x.dims.len() as i64;
        let axis = |axis: i64, rank: i64| -> Done<usize> {
            let positive = if axis < 0 { axis + rank } else { axis };
            let inside = (0..rank).contains(&positive);
            inside.then_some(positive as usize).ok_or_else(|| format!("axis {axis} of a shape of {rank}"))
        };
        let axes =
            || -> Done<Option<Vec<i64>>> { self.has(node, 1).then(|| self.integers(node, 1)).transpose() };
        match node.op_type.as_str() {
            "Flatten" => match axis(int(node, "axis", 1), rank)? {
                1 => Ok(vec![1, x.dims[1..].iter().product()]),
                other => Err(format!("axis is {other}, expected 1")),
            },
            "Squeeze" => {
                let chosen = match axes()? {
                    Some(axes) => axes.iter().map(|&a| axis(a, rank)).collect::<Done<Vec<_>>>()?,
                    None => return Err("axes are missing, expected them to be given".into()),
                };
                if let Some(&wrong) = chosen.iter().find(|&&a| a == 0 || x.dims[a] != 1) {
                    return Err(format!("drops axis {wrong} of {:?}, expected axes of size 1", x.dims));
                }
                let kept = x.dims.iter().enumerate().filter(|(i, _)| !chosen.contains(i));
                Ok(kept.map(|(_, &n)| n).collect())
            }
            "Unsqueeze" => {
                let axes = axes()?.unwrap_or_default();
                let rank = rank + axes.len() as i64;
                let chosen = axes.iter().map(|&a| axis(a, rank)).collect::<Done<Vec<_>>>()?;
                let mut old = x.dims.iter();
                let size = |i| if chosen.contains(&i) { Some(1) } else { old.next().copied() };
                (0..rank as usize).map(size).collect::<Option<_>>().ok_or_else(|| "repeats an axis".into())
            }
            "Transpose" => {
                let perm = ints(node, "perm").unwrap_or_default();
                let perm = perm.iter().map(|&a| axis(a, rank)).collect::<Done<Vec<_>>>()?;
                let order = |i: &usize| x.dims[*i] != 1;
                let moved: Vec<usize> = perm.iter().copied().filter(order).collect();
                let all: BTreeSet<usize> = perm.iter().copied().collect();
                if all.len() != x.dims.len() || perm.len() != all.len() || !moved.is_sorted() {
                    return Err(format!("perm {perm:?} of {:?}, expected one that moves no values", x.dims));
                }
                Ok(perm.iter().map(|&i| x.dims[i]).collect())
            }
            _ => {
                let shape = self.integers(node, 1)?;
                resolve(&shape, &x.dims, int(node, "allowzero", 0) != 0)
            }
        }
    }

    /// The same values in another shape, which may take a layer that flattens an image.
    fn with_dims(&mut self, x: Place, dims: Vec<usize>, name: &str) -> Done<Place> {
        let count = |dims: &[usize]| dims.iter().product::<usize>();
        let ones = |dims: &[usize]| dims.iter().filter(|&&n| n != 1).count();
        if dims.first() != Some(&1) || count(&dims) != count(&x.dims) {
            return Err(format!("makes {dims:?} of {:?}, expected [1, features]", x.dims));
        }
        let is_image = self.shapes[x.place].len() == 3;
        if is_image && dims == x.dims {
            return Ok(x);
        }
        if dims.len() != 2 && ones(&dims) > 1 {
            return Err(format!("makes {dims:?} of {:?}, expected [1, features]", x.dims));
        }
        if is_image {
            return self.push(name.into(), LayerOp::Flatten, &[&x], dims);
        }
        Ok(Place { dims, ..x })
    }

    /// A place with a flat shape.
    pub(super) fn flat(&mut self, x: Place, name: &str) -> Done<Place> {
        let features = match *self.shapes[x.place] {
            [features] => return Ok(Place { dims: vec![1, features], ..x }),
            [features, 1, 1] => features,
            _ => return Err(format!("it is {:?}, expected [1, classes]", x.dims)),
        };
        self.with_dims(x, vec![1, features], name)
    }
}

/// A shape with its zeros (as before) and its -1 (what is left) filled in.
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
