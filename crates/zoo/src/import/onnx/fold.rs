//! Computes nodes whose inputs are all constants: the shape arithmetic that exporters leave in a file, and
//! arithmetic on weights.

use quant::FloatTensor;

use super::attribute::{flag, int, ints, tensor};
use super::convert::{Converter, Done, Value};
use super::message::Node;
use super::tensor::{BOOL, Constant, Held, MAX_INTEGERS, held, read, type_name};

/// Operators that [`Converter::fold`] computes.
const FOLDED: &[&str] = &[
    "Abs",
    "Add",
    "Cast",
    "Ceil",
    "Concat",
    "ConstantOfShape",
    "Div",
    "Equal",
    "Exp",
    "Expand",
    "Floor",
    "Gather",
    "Greater",
    "Less",
    "Max",
    "Min",
    "Mod",
    "Mul",
    "Neg",
    "Pow",
    "Range",
    "Reciprocal",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceProd",
    "ReduceSum",
    "Reshape",
    "Shape",
    "Size",
    "Slice",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// Largest number of values of a computed constant.
const MAX_VALUES: usize = 1 << 28;

/// The indices that a slice takes along one axis: first index, step, and count.
pub(super) struct Steps {
    pub(super) axis: usize,
    pub(super) first: usize,
    pub(super) step: i64,
    pub(super) count: usize,
}

/// Resolves an axis; a negative one counts from the end.
pub(super) fn axis_of(axis: i64, rank: usize) -> Done<usize> {
    let positive = if axis < 0 { axis.checked_add(rank as i64).unwrap_or(-1) } else { axis };
    let inside = usize::try_from(positive).ok().filter(|&axis| axis < rank);
    inside.ok_or_else(|| format!("names axis {axis} of {rank} axes"))
}

impl<'a> Converter<'a> {
    /// Computes a node whose inputs are all constants, if its operator is supported.
    pub(super) fn fold(&self, node: &'a Node) -> Done<Option<Value<'a>>> {
        let given: Vec<usize> = (0..node.input.len()).filter(|&i| self.has(node, i)).collect();
        if !FOLDED.contains(&node.op_type.as_str()) || !given.iter().all(|&i| self.is_constant(node, i)) {
            return Ok(None);
        }
        // A weight that is only reordered or reshaped keeps its identity.
        let moves = ["Transpose", "Reshape", "Squeeze", "Unsqueeze", "Cast"].contains(&node.op_type.as_str());
        let origin = if moves { self.origin(node, 0) } else { None };
        let constant = self.folded(node)?;
        if let Constant::Int { values, .. } = &constant
            && values.len() > MAX_INTEGERS
        {
            return Err(format!("makes {} integers, expected at most {MAX_INTEGERS}", values.len()));
        }
        Ok(Some(Value::Constant(constant, origin)))
    }

    fn folded(&self, node: &'a Node) -> Done<Constant> {
        let x = || self.constant(node, 0);
        match node.op_type.as_str() {
            "Mod" if int(node, "fmod", 0) != 0 => {
                Err("fmod is not 0, expected the remainder of integers".into())
            }
            "Add" | "Sub" | "Mul" | "Div" | "Equal" | "Greater" | "Less" | "Mod" | "Pow" => {
                let (a, b) = (x()?, self.constant(node, 1)?);
                self.elementwise(&node.op_type, &a, &b)
            }
            "Max" | "Min" | "Sum" => {
                let operator = if node.op_type == "Sum" { "Add" } else { &node.op_type };
                let mut all = x()?;
                for i in 1..node.input.len() {
                    all = self.elementwise(operator, &all, &self.constant(node, i)?)?;
                }
                Ok(all)
            }
            "Abs" | "Ceil" | "Exp" | "Floor" | "Neg" | "Reciprocal" | "Sqrt" => {
                match (x()?, node.op_type.as_str()) {
                    (Constant::Float(tensor), operator) => {
                        let function = match operator {
                            "Abs" => f32::abs,
                            "Ceil" => f32::ceil,
                            "Exp" => |v: f32| libm::exp(v.into()) as f32,
                            "Floor" => f32::floor,
                            "Neg" => |v: f32| -v,
                            "Reciprocal" => |v: f32| 1.0 / v,
                            _ => f32::sqrt,
                        };
                        let values = tensor.values().iter().map(|&v| function(v)).collect();
                        Ok(Constant::Float(FloatTensor::new(tensor.shape().to_vec(), values)))
                    }
                    (Constant::Int { shape, values }, operator @ ("Abs" | "Neg")) => {
                        let function = if operator == "Neg" { i64::wrapping_neg } else { i64::wrapping_abs };
                        Ok(Constant::Int { shape, values: values.into_iter().map(function).collect() })
                    }
                    _ => Err("takes integers, expected floats".into()),
                }
            }
            "ReduceL2" | "ReduceMax" | "ReduceMean" | "ReduceProd" | "ReduceSum" => self.reduced(node),
            "Size" => {
                let count = x()?.shape().iter().product::<usize>() as i64;
                Ok(Constant::Int { shape: vec![], values: vec![count] })
            }
            "Cast" => cast(x()?, int(node, "to", 0)),
            "Shape" => {
                let shape = x()?.shape().to_vec();
                shape_part(node, &shape)
            }
            "Concat" => self.joined(node),
            "ConstantOfShape" => self.filled(node),
            "Range" => {
                let one = |i| match *self.integers(node, i)? {
                    [value] => Ok(value),
                    ref other => Err(format!("has {} values where one is expected", other.len())),
                };
                let (start, limit, delta): (i64, i64, i64) = (one(0)?, one(1)?, one(2)?);
                let wide = |n: i64| i128::from(n);
                if delta == 0 {
                    return Err("delta is 0, expected another number".into());
                }
                let count =
                    ((wide(limit) - wide(start)) + (wide(delta) - wide(delta.signum()))) / wide(delta);
                if count > MAX_INTEGERS as i128 {
                    return Err(format!("makes {count} integers, expected at most {MAX_INTEGERS}"));
                }
                let all = (0..count.max(0) as i64).map(|i| start.wrapping_add(i.wrapping_mul(delta)));
                Ok(Constant::list(all.collect()))
            }
            "Where" => {
                let [condition, a, b] = [x()?, self.constant(node, 1)?, self.constant(node, 2)?];
                let shape = broadcast(condition.shape(), &broadcast(a.shape(), b.shape())?)?;
                let [condition, a, b] = [&condition, &a, &b].map(|c| self.spread(c, &shape));
                match (condition?, a?, b?) {
                    (
                        Constant::Int { values: c, .. },
                        Constant::Int { values: a, .. },
                        Constant::Int { values: b, .. },
                    ) => {
                        let chosen =
                            c.iter().zip(a.iter().zip(b)).map(|(&c, (&a, b))| if c != 0 { a } else { b });
                        Ok(Constant::Int { shape, values: chosen.collect() })
                    }
                    (Constant::Int { values: c, .. }, Constant::Float(a), Constant::Float(b)) => {
                        let pairs = a.values().iter().zip(b.values());
                        let chosen = c.iter().zip(pairs).map(|(&c, (&a, &b))| if c != 0 { a } else { b });
                        Ok(Constant::Float(FloatTensor::new(shape, chosen.collect())))
                    }
                    _ => Err("chooses between a float and an integer, expected two of one type".into()),
                }
            }
            "Expand" => {
                let (x, shape) = (x()?, self.sizes(node, 1)?);
                let shape = broadcast(x.shape(), &shape)?;
                self.spread(&x, &shape)
            }
            _ => self.rearranged(node),
        }
    }

    /// Returns all or some of the values in another order or shape.
    fn rearranged(&self, node: &'a Node) -> Done<Constant> {
        let x = self.constant(node, 0)?;
        let from = x.shape().to_vec();
        match node.op_type.as_str() {
            "Gather" => {
                let axis = axis_of(int(node, "axis", 0), from.len())?;
                let chosen = self.constant(node, 1)?;
                let Constant::Int { shape: index_shape, values: indices } = &chosen else {
                    return Err("has floats as indices, expected integers".into());
                };
                let mut places = Vec::new();
                for &index in indices {
                    let size = from[axis];
                    let place = axis_of(index, size);
                    places.push(place.map_err(|_| format!("index {index} lies outside of {size} values"))?);
                }
                let mut partly = from.clone();
                partly[axis] = places.len();
                let taken = self.pick(&x, &partly, |at| at[axis] = places[at[axis]])?;
                let shape = [&from[..axis], index_shape, &from[axis + 1..]].concat();
                Ok(with_shape(taken, shape))
            }
            "Transpose" => {
                let perm = self.permutation(node, from.len())?;
                let shape: Vec<usize> = perm.iter().map(|&axis| from[axis]).collect();
                self.pick(&x, &shape, |at| {
                    let mut source = vec![0; at.len()];
                    perm.iter().zip(&*at).for_each(|(&axis, &index)| source[axis] = index);
                    at.copy_from_slice(&source);
                })
            }
            "Slice" => {
                let steps = self.steps(node, &from)?;
                let mut shape = from.clone();
                steps.iter().for_each(|steps| shape[steps.axis] = steps.count);
                self.pick(&x, &shape, |at| {
                    for Steps { axis, first, step, .. } in &steps {
                        at[*axis] = (*first as i64 + at[*axis] as i64 * step) as usize;
                    }
                })
            }
            _ => {
                let shape = self.new_shape(node, &from)?;
                Ok(with_shape(x, shape))
            }
        }
    }

    /// Returns a constant of `shape` whose value at each index is that of `x` at `source(index)`.
    fn pick(&self, x: &Constant, shape: &[usize], source: impl Fn(&mut [usize])) -> Done<Constant> {
        let count = self.room(shape)?;
        let from = x.shape();
        let mut at = vec![0; shape.len()];
        let mut here = at.clone();
        let mut chosen = Vec::with_capacity(count);
        for _ in 0..count {
            here.copy_from_slice(&at);
            source(&mut here);
            chosen.push(here.iter().zip(from).fold(0, |index, (&i, &size)| index * size + i));
            for axis in (0..shape.len()).rev() {
                at[axis] += 1;
                if at[axis] < shape[axis] {
                    break;
                }
                at[axis] = 0;
            }
        }
        Ok(match x {
            Constant::Float(tensor) => {
                let values = chosen.into_iter().map(|i| tensor.values()[i]).collect();
                Constant::Float(FloatTensor::new(shape.to_vec(), values))
            }
            Constant::Int { values, .. } => {
                let values = chosen.into_iter().map(|i| values[i]).collect();
                Constant::Int { shape: shape.to_vec(), values }
            }
        })
    }

    /// Returns the number of values of a shape, and charges their memory.
    fn room(&self, shape: &[usize]) -> Done<usize> {
        let count = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        let count = count.filter(|&n| n <= MAX_VALUES && shape.len() <= MAX_INTEGERS);
        let count = count.ok_or_else(|| format!("makes more than {MAX_VALUES} values"))?;
        self.spend(count * (size_of::<usize>() + size_of::<f32>()))?;
        Ok(count)
    }

    /// Repeats a constant to a shape that [`broadcast`] returned.
    fn spread(&self, x: &Constant, shape: &[usize]) -> Done<Constant> {
        if x.shape() == shape {
            return Ok(x.clone());
        }
        let from = x.shape().to_vec();
        let skipped = shape.len() - from.len();
        // Adds leading axes of size 1, so that both shapes have the same rank.
        let x = with_shape(x.clone(), [vec![1; skipped], from.clone()].concat());
        self.pick(&x, shape, |at| {
            for (axis, index) in at.iter_mut().enumerate() {
                if axis < skipped || from[axis - skipped] == 1 {
                    *index = 0;
                }
            }
        })
    }

    fn elementwise(&self, operator: &str, a: &Constant, b: &Constant) -> Done<Constant> {
        let shape = broadcast(a.shape(), b.shape())?;
        match (self.spread(a, &shape)?, self.spread(b, &shape)?) {
            (Constant::Float(a), Constant::Float(b)) => {
                let pairs = a.values().iter().zip(b.values());
                let compared = match operator {
                    "Equal" => Some(f32::eq as fn(&f32, &f32) -> bool),
                    "Greater" => Some(f32::gt as fn(&f32, &f32) -> bool),
                    "Less" => Some(f32::lt as fn(&f32, &f32) -> bool),
                    _ => None,
                };
                if let Some(compared) = compared {
                    return Ok(Constant::Int {
                        shape,
                        values: pairs.map(|(a, b)| compared(a, b).into()).collect(),
                    });
                }
                let function = match operator {
                    "Add" => |a: f32, b: f32| a + b,
                    "Sub" => |a: f32, b: f32| a - b,
                    "Mul" => |a: f32, b: f32| a * b,
                    "Div" => |a: f32, b: f32| a / b,
                    "Max" => f32::max,
                    "Mod" => return Err("takes the remainder of floats, expected integers".into()),
                    "Pow" => |a: f32, b: f32| libm::pow(a.into(), b.into()) as f32,
                    _ => f32::min,
                };
                let values = pairs.map(|(&a, &b)| function(a, b)).collect();
                Ok(Constant::Float(FloatTensor::new(shape, values)))
            }
            (Constant::Int { values: a, .. }, Constant::Int { values: b, .. }) => {
                let function = match operator {
                    "Add" => i64::checked_add,
                    "Sub" => i64::checked_sub,
                    "Mul" => i64::checked_mul,
                    "Div" => i64::checked_div,
                    "Max" => |a: i64, b: i64| Some(a.max(b)),
                    "Equal" => |a: i64, b: i64| Some((a == b).into()),
                    "Greater" => |a: i64, b: i64| Some((a > b).into()),
                    "Less" => |a: i64, b: i64| Some((a < b).into()),
                    // The sign is that of the divisor.
                    "Mod" => |a: i64, b: i64| {
                        let rest = a.checked_rem(b)?;
                        if rest != 0 && (rest < 0) != (b < 0) { Some(rest + b) } else { Some(rest) }
                    },
                    "Pow" => |a: i64, b: i64| a.checked_pow(u32::try_from(b).ok()?),
                    _ => |a: i64, b: i64| Some(a.min(b)),
                };
                let values: Option<Vec<i64>> = a.iter().zip(b).map(|(&a, b)| function(a, b)).collect();
                let values = values.ok_or("divides by 0, or leaves the integers of 64 bits")?;
                Ok(Constant::Int { shape, values })
            }
            _ => Err("takes a float and an integer, expected two of one type".into()),
        }
    }

    /// Reduces a constant over some axes, or over all.
    fn reduced(&self, node: &'a Node) -> Done<Constant> {
        let x = self.constant(node, 0)?;
        let (from, operator) = (x.shape().to_vec(), node.op_type.as_str());
        let given = self.axes(node)?.unwrap_or_default();
        if given.is_empty() && self.opset() >= 13 && flag(node, "noop_with_empty_axes", false)? {
            return Ok(x);
        }
        let mut over = vec![given.is_empty(); from.len()];
        for axis in given {
            over[axis_of(axis, from.len())?] = true;
        }
        let is_kept = flag(node, "keepdims", true)?;
        let whole: Vec<usize> = from.iter().zip(&over).map(|(&n, &over)| if over { 1 } else { n }).collect();
        let kept = from.iter().zip(&over).filter(|(_, over)| !**over).map(|(&n, _)| n);
        let shape = if is_kept { whole.clone() } else { kept.collect() };
        self.room(&from)?;
        let count = self.room(&whole)?;
        if from.contains(&0) {
            return Err(format!("reduces {from:?}, expected at least one value"));
        }
        let mut groups: Vec<usize> = vec![0];
        for (axis, &size) in from.iter().enumerate() {
            let step = if over[axis] { 0 } else { whole[axis + 1..].iter().product() };
            groups = groups.iter().flat_map(|&group| (0..size).map(move |i| group + i * step)).collect();
        }
        let each = groups.len() / count;
        match &x {
            Constant::Float(tensor) => {
                let start = match operator {
                    "ReduceMax" => f64::NEG_INFINITY,
                    "ReduceProd" => 1.0,
                    _ => 0.0,
                };
                let mut values = vec![start; count];
                for (&group, &value) in groups.iter().zip(tensor.values()) {
                    let (all, value) = (&mut values[group], f64::from(value));
                    *all = match operator {
                        "ReduceMax" => all.max(value),
                        "ReduceProd" => *all * value,
                        "ReduceL2" => *all + value * value,
                        _ => *all + value,
                    };
                }
                let divisor = if operator == "ReduceMean" { each as f64 } else { 1.0 };
                let finished = |sum: &f64| if operator == "ReduceL2" { sum.sqrt() } else { sum / divisor };
                let values = values.iter().map(|sum| finished(sum) as f32).collect();
                Ok(Constant::Float(FloatTensor::new(shape, values)))
            }
            Constant::Int { values: integers, .. } => {
                let start = match operator {
                    "ReduceMean" | "ReduceL2" => return Err("takes integers, expected floats".into()),
                    "ReduceMax" => i64::MIN,
                    "ReduceProd" => 1,
                    _ => 0,
                };
                let mut values = vec![Some(start); count];
                for (&group, &value) in groups.iter().zip(integers) {
                    values[group] = values[group].and_then(|all| match operator {
                        "ReduceMax" => Some(all.max(value)),
                        "ReduceProd" => all.checked_mul(value),
                        _ => all.checked_add(value),
                    });
                }
                let values: Option<Vec<i64>> = values.into_iter().collect();
                Ok(Constant::Int { shape, values: values.ok_or("leaves the integers of 64 bits")? })
            }
        }
    }

    /// Concatenates constants along an axis.
    fn joined(&self, node: &'a Node) -> Done<Constant> {
        let parts: Vec<Constant> =
            (0..node.input.len()).map(|i| self.constant(node, i)).collect::<Done<_>>()?;
        let first = parts[0].shape().to_vec();
        let axis = axis_of(int(node, "axis", i64::MIN), first.len())?;
        let mut shape = first.clone();
        shape[axis] = 0;
        for part in &parts {
            let other = part.shape();
            let fits =
                other.len() == first.len() && (0..first.len()).all(|i| i == axis || other[i] == first[i]);
            if !fits {
                return Err(format!("joins {first:?} and {other:?} along axis {axis}"));
            }
            shape[axis] += other[axis];
        }
        self.room(&shape)?;
        let outer: usize = shape[..axis].iter().product();
        let chunk = |part: &Constant| part.shape()[axis..].iter().product::<usize>();
        let (mut floats, mut integers) = (Vec::new(), Vec::new());
        for i in 0..outer {
            for part in &parts {
                let size = chunk(part);
                match part {
                    Constant::Float(tensor) => floats.extend(&tensor.values()[i * size..][..size]),
                    Constant::Int { values, .. } => integers.extend(&values[i * size..][..size]),
                }
            }
        }
        match (floats.is_empty(), integers.is_empty()) {
            (false, false) => Err("joins floats and integers, expected one type".into()),
            (false, true) => Ok(Constant::Float(FloatTensor::new(shape, floats))),
            (true, _) if matches!(parts[0], Constant::Int { .. }) => {
                Ok(Constant::Int { shape, values: integers })
            }
            (true, _) => Ok(Constant::Float(FloatTensor::new(shape, floats))),
        }
    }

    fn filled(&self, node: &'a Node) -> Done<Constant> {
        let shape = self.sizes(node, 0)?;
        let value = match tensor(node, "value") {
            None => Constant::Float(FloatTensor::new(vec![1], vec![0.0])),
            Some(value) => {
                self.spend(value.bytes())?;
                read(value, self.folder())?
            }
        };
        let count = self.room(&shape)?;
        if let Constant::Int { .. } = value
            && count > MAX_INTEGERS
        {
            return Err(format!("makes {shape:?} integers, expected at most {MAX_INTEGERS}"));
        }
        match value {
            Constant::Float(tensor) => match *tensor.values() {
                [value] => Ok(Constant::Float(FloatTensor::new(shape, vec![value; count]))),
                _ => Err(format!("value is {:?}, expected one number", tensor.shape())),
            },
            Constant::Int { values, shape: found } => match *values {
                [value] => Ok(Constant::Int { shape, values: vec![value; count] }),
                _ => Err(format!("value is {found:?}, expected one number")),
            },
        }
    }

    /// Returns a constant input that holds sizes.
    fn sizes(&self, node: &'a Node, i: usize) -> Done<Vec<usize>> {
        let size = |n: i64| usize::try_from(n).map_err(|_| format!("has a size of {n}, expected at least 0"));
        self.integers(node, i)?.into_iter().map(size).collect()
    }

    /// Returns the permutation of a transpose: each axis once.
    pub(super) fn permutation(&self, node: &'a Node, rank: usize) -> Done<Vec<usize>> {
        let perm = match ints(node, "perm") {
            Some(perm) => perm.iter().map(|&axis| axis_of(axis, rank)).collect::<Done<Vec<_>>>()?,
            None => (0..rank).rev().collect(),
        };
        let mut sorted = perm.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..rank) {
            return Err(format!("perm is {perm:?}, expected each of {rank} axes once"));
        }
        Ok(perm)
    }

    /// Returns the part that a slice takes of each axis that it names.
    pub(super) fn steps(&self, node: &'a Node, from: &[usize]) -> Done<Vec<Steps>> {
        let list = |i: usize, name: &str| -> Done<Option<Vec<i64>>> {
            if self.opset() < 10 {
                return Ok(ints(node, name).map(<[i64]>::to_vec));
            }
            self.has(node, i).then(|| self.integers(node, i)).transpose()
        };
        let missing = |what: &str| format!("{what} are missing");
        let starts = list(1, "starts")?.ok_or_else(|| missing("starts"))?;
        let ends = list(2, "ends")?.ok_or_else(|| missing("ends"))?;
        let axes = list(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = match self.has(node, 4) {
            true => self.integers(node, 4)?,
            false => vec![1; starts.len()],
        };
        if [ends.len(), axes.len(), steps.len()].iter().any(|&n| n != starts.len()) {
            return Err(format!("has {} starts, expected as many ends, axes and steps", starts.len()));
        }
        let mut all: Vec<Steps> = Vec::new();
        for (((start, end), axis), step) in starts.into_iter().zip(ends).zip(axes).zip(steps) {
            let axis = axis_of(axis, from.len())?;
            if step == 0 || all.iter().any(|other| other.axis == axis) {
                return Err(format!("takes axis {axis} twice, or with a step of 0"));
            }
            let size = from[axis] as i64;
            if size == 0 {
                all.push(Steps { axis, first: 0, step: 1, count: 0 });
                continue;
            }
            let from_end = |n: i64| if n < 0 { n.saturating_add(size) } else { n };
            let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
            let first = from_end(start).clamp(low.max(0), high);
            let last = from_end(end).clamp(low, high);
            let count = if step > 0 { (last - first).max(0) as u64 } else { (first - last).max(0) as u64 };
            let count = count.div_ceil(step.unsigned_abs()) as usize;
            all.push(Steps { axis, first: first.max(0) as usize, step, count });
        }
        Ok(all)
    }
}

/// Returns the sizes that `Shape` outputs, from its start to its end.
pub(super) fn shape_part(node: &Node, shape: &[usize]) -> Done<Constant> {
    let rank = shape.len() as i64;
    let bound = |name: &str, absent: i64| {
        let place = int(node, name, absent);
        if place < 0 { place.saturating_add(rank) } else { place }.clamp(0, rank) as usize
    };
    let (start, end) = (bound("start", 0), bound("end", rank));
    Ok(Constant::list(shape[start..end.max(start)].iter().map(|&n| n as i64).collect()))
}

/// Converts a constant to another type. Float types do not change the values, because everything computes in
/// f32.
fn cast(x: Constant, to: i64) -> Done<Constant> {
    let to = i32::try_from(to).unwrap_or(0);
    match (x, held(to)) {
        (x @ Constant::Float(_), Held::Float(_)) => Ok(x),
        (Constant::Int { shape, values }, Held::Float(_)) => {
            Ok(Constant::Float(FloatTensor::new(shape, values.into_iter().map(|v| v as f32).collect())))
        }
        (Constant::Float(tensor), Held::Int { bytes, signed }) => {
            if tensor.values().len() > MAX_INTEGERS {
                return Err(format!(
                    "makes {} floats integers, expected at most {MAX_INTEGERS}: rounded weights are not read",
                    tensor.values().len()
                ));
            }
            let values = tensor.values().iter().map(|&v| match to {
                BOOL => Ok((v != 0.0).into()),
                _ => fitting(v.trunc() as i64, bytes, signed).filter(|_| v.is_finite()).ok_or(v),
            });
            let values = values.collect::<Result<_, f32>>();
            let values =
                values.map_err(|v| format!("makes {v} a value of type {}, which has none", type_name(to)))?;
            Ok(Constant::Int { shape: tensor.shape().to_vec(), values })
        }
        (Constant::Int { shape, values }, Held::Int { bytes, signed }) => {
            let values = values.into_iter().map(|v| match to {
                BOOL => Ok((v != 0).into()),
                _ => fitting(v, bytes, signed).ok_or(v),
            });
            let values = values.collect::<Result<_, i64>>();
            let values =
                values.map_err(|v| format!("makes {v} a value of type {}, which has none", type_name(to)))?;
            Ok(Constant::Int { shape, values })
        }
        (_, Held::No) => Err(format!("to is {}, expected a type of floats or integers", type_name(to))),
    }
}

/// Returns the integer if it fits into a type of `bytes` bytes.
fn fitting(value: i64, bytes: usize, signed: bool) -> Option<i64> {
    if bytes == 8 {
        return (signed || value >= 0).then_some(value);
    }
    let bits = 8 * bytes as u32 - u32::from(signed);
    let range = if signed { -(1i64 << bits)..1 << bits } else { 0..1 << bits };
    range.contains(&value).then_some(value)
}

/// Returns the shape to which two shapes broadcast, by numpy's rules.
fn broadcast(a: &[usize], b: &[usize]) -> Done<Vec<usize>> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    let both = (0..rank).map(|i| match (size(a, i), size(b, i)) {
        (a, b) if a == b || b == 1 => Some(a),
        (1, b) => Some(b),
        _ => None,
    });
    both.collect::<Option<_>>()
        .ok_or_else(|| format!("takes {a:?} and {b:?}, which do not spread to one shape"))
}

/// Returns the same values in another shape with the same number of values.
fn with_shape(x: Constant, shape: Vec<usize>) -> Constant {
    match x {
        Constant::Float(tensor) => Constant::Float(FloatTensor::new(shape, tensor.values().to_vec())),
        Constant::Int { values, .. } => Constant::Int { shape, values },
    }
}
