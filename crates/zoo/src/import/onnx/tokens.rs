//! Tokens and attention, as exporters write them.
//!
//! Here a sequence of tokens is an image whose pixels are the tokens, so that a linear layer of each token is a 1x1
//! convolution. In a file, the same values pass through many shapes: `[tokens, batch, channels]`, then
//! `[batch, tokens, 3, heads, channels of a head]`, then `[heads, tokens, channels of a head]`. A [`View`] is such a shape of
//! the values of a place: each of ONNX's axes runs through parts of the channels or of the tokens. Nodes that only move
//! values make a view of a view and no layer; one that is a whole image with its channels on one axis is a
//! [`Place`] again.
//!
//! The attention itself is three nodes, a product of two views, `Softmax` and a product with a third view, which become
//! one layer ([`Op::Attention`]). [`Scores`] are the value after the first or the second of them. Numbers that multiply
//! queries, keys or scores become its scale.
//!
//! Class tokens that are concatenated, and a position embedding that is added, become a layer
//! [`Op::TokenEmbedding`], whose constants are no weights of the memory.

use graph::{Layer, Op};
use quant::FloatTensor;

use super::attribute::int;
use super::convert::{Converter, Done, Value, label};
use super::fold::{Steps, axis_of, shape_part};
use super::layer::Affine;
use super::message::Node;
use super::place::Place;
use super::tensor::Constant;

/// Axis of an image of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Channel,
    Token,
}

/// Part of an axis: `size` positions at a distance of `step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    axis: Axis,
    size: usize,
    step: usize,
}

/// Values of an image of tokens in another shape, with a batch of 1 anywhere in it.
#[derive(Clone, Debug)]
pub(super) struct View {
    place: usize,
    /// First channel.
    first: usize,
    /// Number by which the values are multiplied.
    scale: f64,
    /// The parts that each of ONNX's axes runs through, nested in this order; none on an axis of size 1.
    axes: Vec<Vec<Part>>,
    /// True if other nodes read these values too.
    shared: bool,
}

/// Products of queries and keys, before or after the softmax.
#[derive(Clone, Debug)]
pub(super) struct Scores {
    queries: View,
    keys: View,
    heads: usize,
    scale: f64,
    dims: Vec<usize>,
    is_softmax: bool,
}

/// Joins neighbouring parts that are one.
fn merged(parts: impl IntoIterator<Item = Part>) -> Vec<Part> {
    let mut all: Vec<Part> = Vec::new();
    for part in parts {
        match all.last_mut() {
            Some(last) if last.axis == part.axis && last.step == part.step * part.size => {
                *last = Part { size: last.size * part.size, ..part };
            }
            _ => all.push(part),
        }
    }
    all
}

/// Distributes parts over axes of these sizes; `None` if an axis ends inside a part that it does not divide.
fn arranged(parts: Vec<Part>, dims: &[usize]) -> Option<Vec<Vec<Part>>> {
    let mut left = merged(parts);
    left.reverse();
    let mut axes = Vec::new();
    for &size in dims {
        let (mut own, mut open) = (Vec::new(), size);
        while open > 1 {
            let part = left.pop()?;
            if open.is_multiple_of(part.size) {
                open /= part.size;
                own.push(part);
            } else if part.size.is_multiple_of(open) {
                let rest = part.size / open;
                own.push(Part { size: open, step: part.step * rest, ..part });
                left.push(Part { size: rest, ..part });
                open = 1;
            } else {
                return None;
            }
        }
        axes.push(own);
    }
    left.is_empty().then_some(axes)
}

impl View {
    /// The values of a place, an image of this shape; `None` if its batch is not 1.
    fn of(place: &Place, shape: &[usize]) -> Option<Self> {
        let [channels, _, width] = *shape else { return None };
        let groups = match *place.sizes {
            [_, _, _] => 1,
            [groups, _, _, _] => groups,
            _ => return None,
        };
        if place.dims.first() != Some(&1) || place.bytes {
            return None;
        }
        // The axes of the sizes, from the last: columns, rows, channels, groups of channels.
        let steps =
            [(Axis::Token, 1), (Axis::Token, width), (Axis::Channel, 1), (Axis::Channel, channels / groups)];
        let part = |&axis: &usize| {
            let (size, (kind, step)) = (place.sizes[axis], steps[place.sizes.len() - 1 - axis]);
            Part { axis: kind, size, step }
        };
        let axes = arranged(place.order.iter().map(part).collect(), &place.dims)?;
        Some(Self { place: place.place, first: 0, scale: 1.0, axes, shared: place.shared })
    }

    /// ONNX's shape.
    pub(super) fn dims(&self) -> Vec<usize> {
        self.axes.iter().map(|parts| parts.iter().map(|part| part.size).product()).collect()
    }

    fn transposed(&self, perm: &[usize]) -> Self {
        Self { axes: perm.iter().map(|&axis| self.axes[axis].clone()).collect(), ..self.clone() }
    }

    fn reshaped(&self, dims: &[usize]) -> Done<Self> {
        let axes = arranged(self.axes.concat(), dims)
            .ok_or_else(|| format!("makes {dims:?} of {:?}, which divides tokens or heads", self.dims()))?;
        Ok(Self { axes, ..self.clone() })
    }

    /// Takes `count` positions from `first` on along an axis that runs through channels.
    fn taken(&self, axis: usize, first: usize, count: usize) -> Done<Self> {
        if (first, count) == (0, self.dims()[axis]) {
            return Ok(self.clone());
        }
        let [part] = *merged(self.axes[axis].clone()) else { return Err(self.indivisible(axis)) };
        if part.axis != Axis::Channel {
            return Err(self.indivisible(axis));
        }
        let mut view = Self { first: self.first + first * part.step, ..self.clone() };
        view.axes[axis] =
            Some(Part { size: count, ..part }).filter(|part| part.size > 1).into_iter().collect();
        Ok(view)
    }

    fn indivisible(&self, axis: usize) -> String {
        format!("takes a part of axis {axis} of {:?}, expected that of queries, keys and values", self.dims())
    }

    /// Returns the place of a whole image of this shape whose batch is in front and whose axes are not divided.
    fn placed(&self, shape: &[usize]) -> Option<Place> {
        let [channels, height, width] = *shape else { return None };
        let tokens = height * width;
        let parts = merged(self.axes.concat());
        let size =
            |axis| parts.iter().filter(|part| part.axis == axis).map(|part| part.size).product::<usize>();
        let is_whole = size(Axis::Channel) == channels && size(Axis::Token) == tokens;
        let is_plain = self.first == 0 && self.scale == 1.0 && self.axes.first().is_some_and(Vec::is_empty);
        if !is_whole || !is_plain || parts.iter().any(|part| part.step != 1) {
            return None;
        }
        let axes = |part: &Part| match part.axis {
            Axis::Channel => vec![0],
            Axis::Token => [1, 2].into_iter().filter(|&axis| shape[axis] != 1).collect(),
        };
        let order = parts.iter().flat_map(axes).collect();
        let (dims, sizes) = (self.dims(), shape.to_vec());
        let place = Place { place: self.place, dims, sizes, order, shared: self.shared, bytes: false };
        place.axes().is_some().then_some(place)
    }

    /// True if no place has this shape, although its channels are last: the batch is not in front, or the channels are divided
    /// into more parts than groups.
    fn begins_attention(&self) -> bool {
        let is_batched = self.axes.first().is_some_and(Vec::is_empty);
        let channels = self.axes.iter().flatten().filter(|part| part.axis == Axis::Channel).count();
        let last = self.axes.last().and_then(|parts| parts.last());
        let is_last = last.is_some_and(|part| part.axis == Axis::Channel && part.step == 1);
        is_last && self.axes.len() > 1 && (!is_batched || channels > 2)
    }

    /// Returns the number of heads and the channels of a head, if the axis `tokens` is that of all tokens, the axis
    /// `channels` that of a head, and the axes in front of both those of the heads.
    fn heads(&self, tokens: usize, channels: usize, shape: &[usize]) -> Option<(usize, usize)> {
        let all = shape[1..].iter().product::<usize>();
        let token = Part { axis: Axis::Token, size: all, step: 1 };
        let [Part { axis: Axis::Channel, size, step: 1 }] = *merged(self.axes[channels].clone()) else {
            return None;
        };
        if merged(self.axes[tokens].clone()) != [token] {
            return None;
        }
        match *merged(self.axes[..self.axes.len() - 2].concat()) {
            [] => Some((1, size)),
            [Part { axis: Axis::Channel, size: heads, step }] if step == size => Some((heads, size)),
            _ => None,
        }
    }
}

impl<'a> Converter<'a> {
    /// Converts a node of tokens; `None` if it is none.
    pub(super) fn tokens(&mut self, node: &'a Node) -> Done<Option<Value<'a>>> {
        match node.op_type.as_str() {
            "Shape" => {
                let dims = match self.value_of(node, 0) {
                    Some(Value::View(view)) => view.dims(),
                    Some(Value::Scores(scores)) => scores.dims.clone(),
                    _ => return Ok(None),
                };
                Ok(Some(Value::Constant(shape_part(node, &dims)?, None)))
            }
            "Transpose" | "Reshape" | "Squeeze" | "Unsqueeze" => self.moved_tokens(node),
            "Gather" | "Slice" => self.taken_tokens(node),
            "Concat" => self.with_class_tokens(node),
            "MatMul" if !self.is_constant(node, 1) => self.product_of_tokens(node),
            "MatMul" | "Gemm" => {
                let Some(view) = self.view(node, 0) else { return Ok(None) };
                self.of_each_token(view, |converter, x| converter.pointwise(node, x)).map(Some)
            }
            "Add" | "Mul" | "Div" => self.token_arithmetic(node),
            "Softmax" => {
                let Some(Value::Scores(scores)) = self.value_of(node, 0) else { return Ok(None) };
                let mut scores = scores.clone();
                let rank = scores.dims.len();
                let axis = int(node, "axis", if self.opset() >= 13 { -1 } else { 1 });
                if axis_of(axis, rank)? + 1 != rank || scores.is_softmax {
                    return Err(format!("axis is {axis} of {:?}, expected the last one, once", scores.dims));
                }
                scores.is_softmax = true;
                Ok(Some(Value::Scores(scores)))
            }
            _ => Ok(None),
        }
    }

    /// Returns an input that is a view.
    fn view(&self, node: &Node, i: usize) -> Option<View> {
        match self.value_of(node, i) {
            Some(Value::View(view)) => {
                Some(View { shared: view.shared || self.is_shared(node, i), ..view.clone() })
            }
            _ => None,
        }
    }

    /// Returns an input that is a view, or an image as a view.
    fn any_view(&mut self, node: &'a Node, i: usize) -> Done<Option<View>> {
        Ok(match self.value_of(node, i) {
            Some(Value::View(_)) => self.view(node, i),
            Some(Value::Place(_) | Value::Scalar(_)) => {
                let x = self.any_place(node, i)?;
                View::of(&x, &self.shapes[x.place])
            }
            _ => None,
        })
    }

    /// Returns a view, or the place that it is.
    fn settled_view(&self, view: View) -> Value<'a> {
        match view.placed(&self.shapes[view.place]) {
            Some(place) => Value::Place(place),
            None => Value::View(view),
        }
    }

    /// Converts a node that moves a view, or makes one of a place.
    fn moved_tokens(&mut self, node: &'a Node) -> Done<Option<Value<'a>>> {
        if let Some(Value::Scores(scores)) = self.value_of(node, 0) {
            let scores = scores.clone();
            let from = &scores.dims;
            let moves_axes = node.op_type == "Transpose";
            let dims = if moves_axes { vec![] } else { self.new_shape(node, from)? };
            let ends = |dims: &[usize]| dims.len().checked_sub(2).map(|first| dims[first..].to_vec());
            if ends(&dims) != ends(from) {
                return Err(format!("moves axes of attention scores, {from:?}, expected a Softmax of them"));
            }
            return Ok(Some(Value::Scores(Scores { dims, ..scores })));
        }
        let is_view = matches!(self.value_of(node, 0), Some(Value::View(_)));
        let Some(view) = self.any_view(node, 0)? else { return Ok(None) };
        let dims = view.dims();
        let moved = if node.op_type == "Transpose" {
            view.transposed(&self.permutation(node, dims.len())?)
        } else {
            if !is_view && node.op_type == "Squeeze" && self.axes(node)?.is_none() {
                return Ok(None);
            }
            let to = self.new_shape(node, &dims)?;
            match view.reshaped(&to) {
                Ok(moved) => moved,
                Err(_) if !is_view => return Ok(None),
                Err(error) => return Err(error),
            }
        };
        match self.settled_view(moved) {
            // A place has its own rules for what it may become.
            Value::Place(_) if !is_view => Ok(None),
            Value::View(moved) if !is_view && !moved.begins_attention() => Ok(None),
            value => Ok(Some(value)),
        }
    }

    /// Converts a `Gather` or `Slice` of a view, or of one token of a place.
    fn taken_tokens(&mut self, node: &'a Node) -> Done<Option<Value<'a>>> {
        let view = self.view(node, 0);
        let (dims, place) = match (&view, self.value_of(node, 0)) {
            (Some(view), _) => (view.dims(), None),
            (None, Some(Value::Place(place))) if self.is_sequence(place) => {
                (place.dims.clone(), Some(place.clone()))
            }
            _ => return Ok(None),
        };
        let gathers = node.op_type == "Gather";
        let (axis, first, count, drops) = if gathers {
            let axis = axis_of(int(node, "axis", 0), dims.len())?;
            let Constant::Int { shape, values } = self.constant(node, 1)? else {
                return Err("has floats as indices, expected integers".into());
            };
            let places =
                values.iter().map(|&index| axis_of(index, dims[axis])).collect::<Done<Vec<usize>>>()?;
            let is_run = places.windows(2).all(|pair| pair[0] + 1 == pair[1]);
            match places.first().filter(|_| is_run && shape.len() <= 1) {
                Some(&first) => (axis, first, places.len(), shape.is_empty()),
                None if view.is_some() => {
                    return Err(format!("takes {values:?} along axis {axis}, expected consecutive ones"));
                }
                None => return Ok(None),
            }
        } else {
            match *self.steps(node, &dims)? {
                [Steps { axis, first, step: 1, count }] if count > 0 => (axis, first, count, false),
                _ if view.is_some() => return Err("takes several parts, expected one along one axis".into()),
                _ => return Ok(None),
            }
        };
        if let Some(view) = view {
            let mut view = view.taken(axis, first, count)?;
            if drops {
                view.axes.remove(axis);
            }
            return Ok(Some(self.settled_view(view)));
        }
        let Some(place) = place.filter(|_| axis == 1 && count == 1 && dims[1] > 1) else { return Ok(None) };
        let features = self.push_plain(label(node), Op::SelectToken { index: first }, &[&place])?;
        let mut dims = place.dims;
        dims[1] = 1;
        if drops {
            dims.remove(1);
        }
        Ok(Some(Value::Place(features.reshaped(dims))))
    }

    /// True if ONNX has an image as [batch, tokens, channels].
    fn is_sequence(&self, place: &Place) -> bool {
        self.shapes[place.place].len() == 3
            && place.sizes.len() == 3
            && place.dims.len() == 3
            && place.channel_axis() == Some(2)
    }

    /// Converts a concatenation of class tokens and an image of tokens.
    fn with_class_tokens(&mut self, node: &'a Node) -> Done<Option<Value<'a>>> {
        let Some(last) = node.input.len().checked_sub(1).filter(|&last| last > 0) else { return Ok(None) };
        if self.is_constant(node, last) || !(0..last).all(|i| self.is_constant(node, i)) {
            return Ok(None);
        }
        let x = self.place(node, last)?;
        let axis = axis_of(int(node, "axis", i64::MIN), x.dims.len())?;
        if !self.is_sequence(&x) || axis != 1 {
            return Ok(None);
        }
        if x.dims[0] != 1 {
            return Err(format!("fixes a batch of {}, expected 1 for a network of tokens", x.dims[0]));
        }
        let channels = x.dims[2];
        let mut class = Vec::new();
        for i in 0..last {
            let constant = self.floats(node, i)?;
            if constant.shape().len() != 3 || constant.shape()[0] != 1 || constant.shape()[2] != channels {
                return Err(format!(
                    "joins {:?} and {:?}, expected tokens of equal channels",
                    constant.shape(),
                    x.dims
                ));
            }
            class.extend_from_slice(constant.values());
        }
        let count = class.len() / channels;
        let (x, old) = self.embedded(label(node), x)?;
        let tokens = old.len() / channels;
        let layer = &mut self.layers[x.place - 1];
        let Op::TokenEmbedding { class_tokens } = &mut layer.op else {
            unreachable!("the layer embeds tokens")
        };
        *class_tokens += count;
        let shape = Layer::output(&layer.op, &[&self.shapes[layer.inputs[0]]])?;
        self.spend(shape.iter().product::<usize>() * size_of::<f32>())?;
        self.shapes[x.place] = shape;
        let bias = (0..channels).flat_map(|channel| {
            let front = class[channel..].iter().step_by(channels).copied();
            front.chain(old[channel * tokens..][..tokens].iter().copied())
        });
        let bias: Vec<f32> = bias.collect();
        self.set(x.place, "bias", FloatTensor::new(vec![bias.len()], bias));
        let dims = vec![1, tokens + count, channels];
        let place = Place { dims, sizes: self.shapes[x.place].clone(), order: vec![2, 0], ..x };
        Ok(Some(Value::Place(place)))
    }

    /// Returns the place of tokens whose layer adds a constant to each value, and these constants: a new layer, unless there
    /// is one that no other node reads.
    fn embedded(&mut self, name: String, x: Place) -> Done<(Place, Vec<f32>)> {
        if x.place > 0 && !x.shared && matches!(self.layers[x.place - 1].op, Op::TokenEmbedding { .. }) {
            let bias = self.parameters[&self.parameter_name(x.place, "bias")].values().to_vec();
            return Ok((x, bias));
        }
        let place = self.push(name, Op::TokenEmbedding { class_tokens: 0 }, &[&x])?;
        let count: usize = self.shapes[place].iter().product();
        self.spend(count * size_of::<f32>())?;
        let bias = vec![0.0; count];
        let sizes = self.shapes[place].clone();
        let order = [2, 0].into_iter().filter(|&axis| sizes[axis] != 1).collect();
        Ok((Place { place, sizes, order, shared: false, ..x }, bias))
    }

    /// Converts arithmetic of a view, of scores, or of tokens and a position embedding, with a constant.
    fn token_arithmetic(&mut self, node: &'a Node) -> Done<Option<Value<'a>>> {
        let operator = node.op_type.as_str();
        let scores = |i| matches!(self.value_of(node, i), Some(Value::Scores(_)));
        if operator == "Add" && (scores(0) || scores(1)) {
            return Err("adds to attention scores, expected none: a mask or a relative position bias has no rule here".into());
        }
        let constant = match [0, 1].map(|i| self.is_constant(node, i)) {
            [true, false] if operator != "Div" => 0,
            [false, true] => 1,
            _ => return Ok(None),
        };
        let read = 1 - constant;
        match self.value_of(node, read) {
            Some(Value::Scores(scores)) => {
                let factor = f64::from(self.number(node, constant)?);
                let scale = if operator == "Mul" { scores.scale * factor } else { scores.scale / factor };
                return match scores.is_softmax {
                    false => Ok(Some(Value::Scores(Scores { scale, ..scores.clone() }))),
                    true => Err("multiplies attention weights, expected a product with values".into()),
                };
            }
            Some(Value::View(_)) => {}
            Some(Value::Place(place)) if operator == "Add" && self.is_sequence(place) => {
                return self.position_embedding(node, read, constant);
            }
            _ => return Ok(None),
        }
        let Some(view) = self.view(node, read) else { return Ok(None) };
        if operator == "Add" {
            let constant = self.floats(node, constant)?;
            return self
                .of_each_token(view, |converter, x| {
                    let offset: Vec<f64> =
                        x.per_channel(&constant, None)?.into_iter().map(f64::from).collect();
                    converter.affine(label(node), x, Affine { scale: vec![1.0; offset.len()], offset })
                })
                .map(Some);
        }
        let factor = f64::from(self.number(node, constant)?);
        let scale = if operator == "Mul" { view.scale * factor } else { view.scale / factor };
        Ok(Some(self.settled_view(View { scale, ..view })))
    }

    /// Converts a sum of tokens and a constant of their shape; `None` if the constant is the same for all tokens.
    fn position_embedding(
        &mut self,
        node: &'a Node,
        read: usize,
        constant: usize,
    ) -> Done<Option<Value<'a>>> {
        let constant = self.floats(node, constant)?;
        let x = self.place(node, read)?;
        let shape: Vec<usize> = constant.shape().iter().copied().skip_while(|&n| n == 1).collect();
        if shape != x.dims[1..] || x.dims[0] != 1 {
            return Ok(None);
        }
        let (x, mut bias) = self.embedded(label(node), x)?;
        constant.values().iter().enumerate().for_each(|(i, value)| bias[x.own_index(i)] += value);
        self.set(x.place, "bias", FloatTensor::new(vec![bias.len()], bias));
        Ok(Some(Value::Place(x)))
    }

    /// Applies an operation of the channels of each token, which a view has on its last axis.
    fn of_each_token(
        &mut self,
        view: View,
        apply: impl FnOnce(&mut Self, Place) -> Done<Place>,
    ) -> Done<Value<'a>> {
        let shape = self.shapes[view.place].clone();
        let [channels, height, width] = *shape else { unreachable!("a view is of an image") };
        let whole = Part { axis: Axis::Channel, size: channels, step: 1 };
        let (last, others) = view.axes.split_last().ok_or("reads a number, expected tokens")?;
        let tokens: usize = others.iter().flatten().map(|part| part.size).product();
        let is_whole = merged(last.clone()) == [whole] && tokens == height * width;
        if !is_whole || view.first != 0 || view.scale != 1.0 {
            return Err(format!(
                "reads {:?}, a part of {channels} channels and {} tokens, expected all channels on the last axis",
                view.dims(),
                height * width
            ));
        }
        let order = [1, 2, 0].into_iter().filter(|&axis| shape[axis] != 1).collect();
        let (dims, others) = (vec![1, tokens, channels], others.to_vec());
        let x = Place { place: view.place, dims, sizes: shape, order, shared: view.shared, bytes: false };
        let place = apply(self, x)?.place;
        let part = Part { size: self.shapes[place][0], ..whole };
        let last = Some(part).filter(|part| part.size > 1).into_iter().collect();
        let axes = [others, vec![last]].concat();
        Ok(self.settled_view(View { place, first: 0, scale: 1.0, axes, shared: false }))
    }

    /// Converts the product of queries and keys, or of weights and values.
    fn product_of_tokens(&mut self, node: &'a Node) -> Done<Option<Value<'a>>> {
        let scores = match self.value_of(node, 0) {
            Some(Value::Scores(scores)) => Some(scores.clone()),
            _ => None,
        };
        let Some(b) = self.any_view(node, 1)? else { return Ok(None) };
        if let Some(scores) = scores {
            return self.attention(node, scores, b).map(Some);
        }
        let Some(a) = self.any_view(node, 0)? else { return Ok(None) };
        let wrong = || {
            format!(
                "multiplies {:?} by {:?}, expected queries, [batch, heads, tokens, channels of a head], by transposed keys",
                a.dims(),
                b.dims()
            )
        };
        let rank = a.axes.len();
        if rank < 2 || b.axes.len() != rank {
            return Err(wrong());
        }
        let queries = a.heads(rank - 2, rank - 1, &self.shapes[a.place]);
        let keys = b.heads(rank - 1, rank - 2, &self.shapes[b.place]);
        let Some((heads, _)) = queries.filter(|heads| keys == Some(*heads)) else { return Err(wrong()) };
        let (mut dims, last) = (a.dims(), b.dims()[rank - 1]);
        dims[rank - 1] = last;
        let scale = a.scale * b.scale;
        Ok(Some(Value::Scores(Scores { queries: a, keys: b, heads, scale, dims, is_softmax: false })))
    }

    /// Converts the product of attention weights and values.
    fn attention(&mut self, node: &'a Node, scores: Scores, values: View) -> Done<Value<'a>> {
        let Scores { queries, keys, heads, scale, dims, is_softmax } = scores;
        let rank = values.axes.len();
        let own = if rank < 2 { None } else { values.heads(rank - 2, rank - 1, &self.shapes[values.place]) };
        let Some((_, size)) =
            own.filter(|(own, _)| *own == heads && rank == dims.len() && values.scale == 1.0)
        else {
            return Err(format!(
                "multiplies attention scores, {dims:?}, by {:?}, expected values of {heads} heads",
                values.dims()
            ));
        };
        if !is_softmax {
            return Err("multiplies attention scores, expected a Softmax of them first".into());
        }
        let name = label(node);
        let mut inputs = Vec::new();
        for (view, suffix) in [(&queries, "queries"), (&keys, "keys"), (&values, "values")] {
            let channels = heads * size;
            let mut place = view.place;
            if (view.first, self.shapes[place][0]) != (0, channels) {
                let whole = Place::new(place, &self.shapes[place], 1);
                let slice = Op::ChannelSlice { first: view.first, channels };
                place = self.push(format!("{name}.{suffix}"), slice, &[&whole])?;
            }
            inputs.push(Place::new(place, &self.shapes[place], 1));
        }
        let inputs: Vec<&Place> = inputs.iter().collect();
        let place = self.push(name, Op::Attention { heads, scale }, &inputs)?;
        Ok(self.settled_view(View { place, first: 0, scale: 1.0, axes: values.axes, shared: false }))
    }

    /// Converts a `Split` of a view.
    pub(super) fn split_tokens(&mut self, node: &'a Node, view: &View) -> Done<()> {
        let (axis, sizes) = self.parts_of_split(node, &view.dims())?;
        let mut first = 0;
        for (name, size) in node.output.iter().zip(sizes) {
            if self.is_read(name) {
                let part = self.settled_view(view.taken(axis, first, size)?);
                self.set_output(name, part);
            }
            first += size;
        }
        Ok(())
    }
}
