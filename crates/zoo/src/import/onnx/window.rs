//! Converts nodes without weights that combine, clip or move values: pools, means, bounds, borders, slices,
//! and concatenation of channels.

use graph::{AvgPool, Function, Layer, MaxPool, Op, Window};

use super::attribute::{MAX_EXTENT, extent, flag, float, int, ints, pool, string};
use super::border::{Border, border};
use super::convert::{Converter, Done, Value, label};
use super::fold::{Steps, axis_of};
use super::layer::Affine;
use super::message::Node;
use super::place::Place;
use super::tensor::Constant;

impl<'a> Converter<'a> {
    /// Returns the padding of a window over an image with a border of zeros: one padding for both sides if
    /// windows then cover the same values; otherwise the zeros become a layer.
    pub(super) fn fit(
        &mut self,
        name: &str,
        x: Place,
        border: Border,
        kernel: [usize; 2],
        stride: [usize; 2],
    ) -> Done<(Place, [usize; 2])> {
        let [_, height, width] = x.image()?;
        if let Some(padding) = border.symmetric([height, width], kernel, stride) {
            return Ok((x, padding));
        }
        Ok((self.with_border(name.into(), x, border, 0.0)?, [0, 0]))
    }

    pub(super) fn max_pool(&mut self, node: &'a Node) -> Done<Place> {
        let (x, outer, fill) = self.padded(node, 0)?;
        let [kernel, stride, dilation] = pool(node)?;
        let size = |x: &Place| x.image().map(|[_, height, width]| [height, width]);
        let wide = [0, 1].map(|axis| (kernel[axis] - 1).saturating_mul(dilation[axis]).saturating_add(1));
        let own = border(node, outer, size(&x)?, wide, stride)?;
        let all = outer.plus(own);
        // A fill value that can never be the maximum of a window has no effect.
        let never_wins = fill <= f32::MIN || (fill <= 0.0 && self.is_never_negative(&x));
        let covers = (0..2).any(|i| all.before[i] >= wide[i] || all.after[i] >= wide[i]);
        let (x, border) = match never_wins && !covers {
            true => (x, all),
            false => (self.with_border(label(node), x, outer, fill)?, own),
        };
        let [height, width] = size(&x)?;
        let room = [0, 1].map(|i| [height, width][i] + border.before[i] + border.after[i]);
        if dilation != [1, 1] && (0..2).any(|i| wide[i] > room[i]) {
            return Err(format!(
                "dilations is {dilation:?}, with which a window of {kernel:?} covers {wide:?}, expected at most {room:?}"
            ));
        }
        let ceil = flag(node, "ceil_mode", false)?;
        let padding = border.before;
        let window = |ceil, after| Window { ceil, after, dilation, ..Window::of(kernel, stride, padding) };
        let count = |window: Window| window.fits(height, width).then(|| window.output(height, width));
        let exact = window(ceil, Some(border.after));
        // Only the start and the number of windows matter, so one padding may serve both sides.
        let plain = [false, true].map(|up| window(up, None)).into_iter().find(|window| {
            (border.before == border.after && window.ceil == ceil)
                || (border.before != border.after && !ceil && count(*window) == count(exact))
        });
        let Window { ceil, after, .. } = plain.unwrap_or(exact);
        let op = Op::MaxPool(MaxPool { kernel, stride, padding, ceil, after, dilation });
        self.push_plain(label(node), op, &[&x])
    }

    /// Converts a pool that takes the largest value of each channel.
    pub(super) fn largest(&mut self, node: &'a Node) -> Done<Place> {
        let x = self.place(node, 0)?;
        self.push_largest(label(node), &x)
    }

    fn push_largest(&mut self, name: String, x: &Place) -> Done<Place> {
        let [_, height, width] = x.image()?;
        let (kernel, stride, padding) = ([height, width], [1, 1], [0, 0]);
        let op = Op::MaxPool(MaxPool { kernel, stride, padding, ceil: false, after: None, dilation: [1, 1] });
        self.push_plain(name, op, &[x])
    }

    /// Returns an image with channels first.
    fn in_plain_order(&self, x: Place) -> Done<Place> {
        if x.channel_axis() == Some(3) && x.dims.len() == 4 { x.transposed(&[0, 3, 1, 2]) } else { Ok(x) }
    }

    /// Takes consecutive channels along ONNX's axis of them.
    fn channels_from(
        &mut self,
        name: String,
        x: &Place,
        axis: usize,
        first: usize,
        channels: usize,
    ) -> Done<Place> {
        if x.channel_axis_of_any() != Some(axis) {
            return Err(format!(
                "takes a part of axis {axis} of {:?}, expected that of channels or features",
                x.dims
            ));
        }
        if channels == x.dims[axis] {
            return Ok(x.clone());
        }
        let place = self.push(name, Op::ChannelSlice { first, channels }, &[x])?;
        let mut dims = x.dims.clone();
        dims[axis] = channels;
        let sizes = self.shapes[place].clone();
        let order = x.order.iter().copied().filter(|&axis| sizes[axis] != 1).collect();
        Ok(Place { place, dims, sizes, order, shared: false, bytes: false })
    }

    /// Converts a `Split` along channels: a slice for each output that is read.
    pub(super) fn split(&mut self, node: &'a Node) -> Done<()> {
        if let Some(Value::View(view)) = self.value_of(node, 0) {
            let view = view.clone();
            return self.split_tokens(node, &view);
        }
        let x = self.place(node, 0)?;
        let (axis, sizes) = self.parts_of_split(node, &x.dims)?;
        let mut first = 0;
        for (name, part) in node.output.iter().zip(sizes) {
            if self.is_read(name) {
                let place = self.channels_from(format!("{}.{first}", label(node)), &x, axis, first, part)?;
                self.set_output(name, Value::Place(place));
            }
            first += part;
        }
        Ok(())
    }

    /// Returns the axis of a `Split` and the size of each of its outputs.
    pub(super) fn parts_of_split(&self, node: &'a Node, dims: &[usize]) -> Done<(usize, Vec<usize>)> {
        let axis = axis_of(int(node, "axis", 0), dims.len())?;
        let outputs = node.output.len();
        let given = match self.opset() {
            ..13 => ints(node, "split").map(<[i64]>::to_vec),
            _ => self.has(node, 1).then(|| self.integers(node, 1)).transpose()?,
        };
        let number = int(node, "num_outputs", outputs as i64);
        if number != outputs as i64 || outputs == 0 {
            return Err(format!("num_outputs is {number}, expected that of its outputs, {outputs}"));
        }
        let size = dims[axis];
        let each = size.div_ceil(outputs) as i64;
        let sizes =
            given.unwrap_or_else(|| (0..outputs as i64).map(|i| each.min(size as i64 - i * each)).collect());
        let sum = sizes.iter().try_fold(0i64, |sum, &n| if n > 0 { sum.checked_add(n) } else { None });
        if sizes.len() != outputs || sum != Some(size as i64) {
            return Err(format!("splits {size} into {sizes:?}, expected {outputs} positive parts"));
        }
        Ok((axis, sizes.into_iter().map(|size| size as usize).collect()))
    }

    /// Converts a `Gather` of one channel, or of consecutive ones.
    pub(super) fn gather(&mut self, node: &'a Node) -> Done<Place> {
        let x = self.place(node, 0)?;
        let axis = axis_of(int(node, "axis", 0), x.dims.len())?;
        let Constant::Int { shape, values } = self.constant(node, 1)? else {
            return Err("has floats as indices, expected integers".into());
        };
        let places = values.iter().map(|&index| axis_of(index, x.dims[axis]));
        let places = places.collect::<Done<Vec<usize>>>()?;
        let is_run = places.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        let first = places.first().filter(|_| is_run && shape.len() <= 1);
        let first = first.ok_or_else(|| {
            format!("takes {values:?} along axis {axis}, expected consecutive channels, or one")
        })?;
        let place = self.channels_from(label(node), &x, axis, *first, places.len())?;
        let mut dims = place.dims.clone();
        if shape.is_empty() {
            dims.remove(axis);
        }
        Ok(place.reshaped(dims))
    }

    pub(super) fn average_pool(&mut self, node: &'a Node) -> Done<Place> {
        let (x, outer, fill) = self.padded(node, 0)?;
        if outer != Border::default() && fill != 0.0 {
            return Err(format!("reads a border of {fill}, expected zeros"));
        }
        let [_, height, width] = x.image()?;
        let size = [height, width];
        let [kernel, stride, dilation] = pool(node)?;
        if dilation != [1, 1] {
            return Err(format!(
                "dilations is {dilation:?}, expected [1, 1]: a MaxPool here may have others"
            ));
        }
        let own = border(node, outer, size, kernel, stride)?;
        let included = flag(node, "count_include_pad", false)?;
        let all = outer.plus(own);
        let ceil = flag(node, "ceil_mode", false)? && all.leaves_some(size, kernel, stride);
        let none = Border::default();
        // Zeros of a Pad node count; the pool's own padding counts only with count_include_pad.
        let (x, padding, after, count_include_pad) = if ceil {
            // A window that extends beyond the end averages over existing values only, so padding that counts must exist.
            let counted = if included { all } else { outer };
            let x = self.with_border(label(node), x, counted, 0.0)?;
            let left = if included { none } else { own };
            (x, left.before, Some(left.after).filter(|&after| after != left.before), false)
        } else if included || own == none {
            let (x, padding) = self.fit(&label(node), x, all, kernel, stride)?;
            (x, padding, None, true)
        } else {
            let x = self.with_border(label(node), x, outer, 0.0)?;
            let [_, height, width] = x.image()?;
            let even = own.symmetric([height, width], kernel, stride);
            (x, own.before, if even.is_some() { None } else { Some(own.after) }, false)
        };
        if ceil {
            // The last window must begin inside the image or the leading border, with and without the pool's own padding.
            let window = |padding, after| Window { ceil: true, after, ..Window::of(kernel, stride, padding) };
            let [_, rows, columns] = x.image()?;
            let (here, there) = (window(padding, after), window(all.before, Some(all.after)));
            let fits = here.fits(rows, columns) && there.fits(height, width);
            if fits && here.output(rows, columns) != there.output(height, width) {
                return Err("ceil_mode is 1 with a last window in its border, expected 0".into());
            }
        }
        let op = Op::AvgPool(AvgPool { kernel, stride, padding, count_include_pad, ceil, after });
        self.push_plain(label(node), op, &[&x])
    }

    /// Converts the mean over height and width.
    pub(super) fn mean(&mut self, node: &'a Node) -> Done<Place> {
        let x = self.place(node, 0)?;
        let rank = x.dims.len();
        let (axes, kept) = if node.op_type == "GlobalAveragePool" {
            if rank != 4 {
                return Err(format!("reads {:?}, expected [batch, channels, height, width]", x.dims));
            }
            (vec![2, 3], true)
        } else {
            let axes = self.axes(node)?.unwrap_or_default();
            if axes.is_empty() && flag(node, "noop_with_empty_axes", false)? {
                return Ok(x);
            }
            let axes = axes.iter().map(|&axis| axis_of(axis, rank)).collect::<Done<Vec<_>>>()?;
            (axes, flag(node, "keepdims", true)?)
        };
        let own = x.axes().ok_or_else(|| format!("reads {:?}, of which axes are divided", x.dims))?;
        let mut meant: Vec<usize> = axes.iter().flat_map(|&axis| own[axis].clone()).collect();
        meant.sort_unstable();
        meant.dedup();
        let space: Vec<usize> = x.order.iter().copied().filter(|&axis| axis > 0).collect();
        let is_image = self.shapes[x.place].len() == 3;
        let mut sorted = space.clone();
        sorted.sort_unstable();
        let is_whole = if is_image { meant == sorted } else { meant.is_empty() };
        if axes.is_empty() || axes.contains(&0) || !is_whole {
            return Err(format!("axes are {axes:?} of {:?}, expected height and width, [2, 3]", x.dims));
        }
        let mut dims = x.dims.clone();
        axes.iter().for_each(|&axis| dims[axis] = 1);
        if !kept {
            dims = (0..rank).filter(|axis| !axes.contains(axis)).map(|axis| dims[axis]).collect();
        }
        if !is_image {
            return Ok(x.reshaped(dims));
        }
        let pixels = x.sizes[1..].iter().product::<usize>() as f64;
        let place = if node.op_type == "ReduceMax" {
            let x = self.in_plain_order(x)?;
            let largest = self.push_largest(label(node), &x)?;
            self.flattened(largest, &format!("{}.flat", label(node)))?
        } else {
            self.push_plain(label(node), Op::GlobalAvgPool, &[&x])?
        };
        let place = Place { sizes: self.shapes[place.place].clone(), ..place };
        let place = if node.op_type == "ReduceSum" {
            // A sum is the mean times the number of pixels.
            let channels = self.channels(&place);
            let affine = Affine { scale: vec![pixels; channels], offset: vec![0.0; channels] };
            self.affine(format!("{}.sum", label(node)), place, affine)?
        } else {
            place
        };
        Ok(place.reshaped(dims))
    }

    /// True if no value of a place can be negative.
    fn is_never_negative(&self, x: &Place) -> bool {
        let mut place = x.place;
        while place > 0 {
            let layer = &self.layers[place - 1];
            match layer.op {
                Op::Relu
                | Op::ClippedRelu { .. }
                | Op::Function(Function::Sigmoid | Function::HardSigmoid { .. } | Function::Softplus) => {
                    return true;
                }
                Op::MaxPool(_)
                | Op::AvgPool(_)
                | Op::GlobalAvgPool
                | Op::Flatten
                | Op::Pad { .. }
                | Op::PadShortcut { .. }
                | Op::ChannelSlice { .. }
                | Op::ChannelShuffle { .. } => place = layer.inputs[0],
                _ => return false,
            }
        }
        false
    }

    /// Converts `Relu`, `Clip`, and `Max` with a number.
    pub(super) fn clipped(&mut self, node: &'a Node) -> Done<Value<'a>> {
        let bound = |i: usize, name: &str, absent: f32| -> Done<f32> {
            if self.opset() < 11 {
                return Ok(float(node, name, absent));
            }
            if self.has(node, i) { self.number(node, i) } else { Ok(absent) }
        };
        let (mut low, mut high) = (f32::NEG_INFINITY, f32::INFINITY);
        let mut read = 0;
        match node.op_type.as_str() {
            "Clip" => (low, high) = (bound(1, "min", low)?, bound(2, "max", high)?),
            "Relu" => low = 0.0,
            _ => (read, low) = self.one_number(node)?,
        }
        if let Some(value) = self.limited(node, read, [low, high])? {
            return Ok(value);
        }
        let x = match self.capped(node, read) {
            Some((x, most)) => {
                high = high.min(most);
                x
            }
            None => self.place(node, read)?,
        };
        self.clip(label(node), x, low, high).map(Value::Place)
    }

    /// Bounds a place.
    pub(super) fn clip(&mut self, name: String, x: Place, mut low: f32, high: f32) -> Done<Place> {
        // Exporters write the largest floats for a bound that is absent.
        if low <= f32::MIN && high >= f32::MAX {
            return Ok(x);
        }
        if low <= 0.0 && self.is_never_negative(&x) {
            low = 0.0;
        }
        if low == 0.0 && high > 0.0 {
            return self.bounded(name, x, high);
        }
        let [min, max] = [low.max(f32::MIN), high.min(f32::MAX)];
        self.push_alike(name, Op::Function(Function::Clip { min, max }), &x)
    }

    /// Converts `Min` with a number: an upper bound, whose lower bound comes from the node before or after
    /// it.
    pub(super) fn minimum(&mut self, node: &'a Node) -> Done<Value<'a>> {
        let (read, most) = self.one_number(node)?;
        if let Some(value) = self.limited(node, read, [f32::NEG_INFINITY, most])? {
            return Ok(value);
        }
        let place = self.place(node, read)?;
        if most.is_nan() || most <= 0.0 {
            return Err(format!("clips to at most {most}, expected a positive number"));
        }
        if self.is_never_negative(&place) {
            return Ok(Value::Place(self.bounded(label(node), place, most)?));
        }
        Ok(Value::Capped { place, most })
    }

    /// Adds a layer that clips to 0 and `high`, or bounds the ReLU before it if this is its only reader.
    fn bounded(&mut self, name: String, x: Place, high: f32) -> Done<Place> {
        let op = match high >= f32::MAX {
            true => Op::Relu,
            false => Op::ClippedRelu { max: high },
        };
        if x.place > 0 && !x.shared {
            let before = &mut self.layers[x.place - 1].op;
            match before {
                Op::Relu => {
                    *before = op;
                    return Ok(x);
                }
                Op::ClippedRelu { max } => {
                    *max = max.min(high);
                    return Ok(x);
                }
                _ => {}
            }
        }
        self.push_alike(name, op, &x)
    }

    /// Returns the index of the computed input of a `Max` or `Min`, and the number that is its other input.
    fn one_number(&self, node: &'a Node) -> Done<(usize, f32)> {
        let constant = |i| self.is_constant(node, i);
        let read = match node.input.len() {
            2 if constant(1) && !constant(0) => 0,
            2 if constant(0) && !constant(1) => 1,
            _ => return Err("takes several computed values, expected one and a number".into()),
        };
        Ok((read, self.number(node, 1 - read)?))
    }

    pub(super) fn concat(&mut self, node: &'a Node) -> Done<Place> {
        let axis = int(node, "axis", i64::MIN);
        let places: Vec<Place> = (0..node.input.len()).map(|i| self.place(node, i)).collect::<Done<_>>()?;
        let first = &places[0];
        let axis = axis_of(axis, first.dims.len())?;
        for place in &places {
            if place.sizes.len() != 3
                || place.channel_axis() != Some(axis)
                || place.dims.len() != first.dims.len()
            {
                return Err(format!(
                    "axis is {axis} of {:?}, expected that of an image's channels",
                    place.dims
                ));
            }
        }
        let joined = self.push(label(node), Op::Concat, &places.iter().collect::<Vec<_>>())?;
        let mut place = Place::new(joined, &self.shapes[joined], first.dims[0]);
        if axis == 3 {
            place = place.transposed(&[0, 2, 3, 1])?;
        } else if axis != 1 {
            return Err(format!("axis is {axis} of {:?}, expected 1 or 3", first.dims));
        }
        Ok(place)
    }

    pub(super) fn pad(&mut self, node: &'a Node) -> Done<Value<'a>> {
        let mode = string(node, "mode", "constant");
        if mode != "constant" {
            return Err(format!("mode is {mode}, expected constant: other borders are no layers here"));
        }
        let older = self.opset() < 11;
        let fill = match older {
            true => float(node, "value", 0.0),
            false if self.has(node, 2) => self.number(node, 2)?,
            false => 0.0,
        };
        let (mut place, mut outer, before) = self.padded(node, 0)?;
        if outer != Border::default() && before != fill {
            place = self.with_border(label(node), place, outer, before)?;
            outer = Border::default();
        }
        let rank = place.dims.len();
        let pads = match older {
            true => ints(node, "pads").ok_or("pads are missing")?.to_vec(),
            false => self.integers(node, 1)?,
        };
        let axes: Vec<i64> = match !older && self.has(node, 3) {
            true => self.integers(node, 3)?,
            false => (0..rank as i64).collect(),
        };
        let axes = axes.iter().map(|&axis| axis_of(axis, rank)).collect::<Done<Vec<_>>>()?;
        if pads.len() != 2 * axes.len() {
            return Err(format!("has {} pads for {} axes, expected two each", pads.len(), axes.len()));
        }
        let both = |i: usize| [pads[i], pads[axes.len() + i]];
        if (0..axes.len()).all(|i| both(i) == [0, 0]) {
            return Ok(match outer == Border::default() {
                true => Value::Place(place),
                false => Value::Padded { place, border: outer, fill: before },
            });
        }
        let channel = place.channel_axis().filter(|_| rank == 4 && place.sizes.len() == 3);
        let Some(channel) = channel.filter(|channel| [1, 3].contains(channel)) else {
            return Err(format!("pads {:?}, expected an image", place.dims));
        };
        let space = if channel == 1 { [2, 3] } else { [1, 2] };
        let (mut own, mut channels) = (Border::default(), [0, 0]);
        for (i, &axis) in axes.iter().enumerate() {
            let [before, after] = both(i);
            if let Some(side) = space.iter().position(|&other| other == axis) {
                own.before[side] += extent(before, 0, "pads")?;
                own.after[side] += extent(after, 0, "pads")?;
            } else if axis == channel {
                channels = [extent(before, 0, "pads")?, extent(after, 0, "pads")?];
            } else if [before, after] != [0, 0] {
                return Err(format!("pads axis {axis}, expected channels, height and width only"));
            }
        }
        if channels != [0, 0] {
            if fill != 0.0 {
                return Err(format!("adds channels of {fill}, expected zeros"));
            }
            place = self.with_border(label(node), place, outer, before)?;
            outer = Border::default();
            place = self.with_channels(node, place, channels)?;
        }
        let border = outer.plus(own);
        if border == Border::default() {
            return Ok(Value::Place(place));
        }
        if border.before.iter().chain(&border.after).any(|&n| n as i64 > MAX_EXTENT) {
            return Err(format!("pads more than {MAX_EXTENT} rows or columns in all"));
        }
        if channel == 3 {
            place = place.transposed(&[0, 3, 1, 2])?;
            place = self.with_border(label(node), place, border, fill)?;
            return Ok(Value::Place(place.transposed(&[0, 2, 3, 1])?));
        }
        Ok(Value::Padded { place, border, fill })
    }

    /// Adds channels of zeros in front and behind, inside the layer that skips rows and columns if one
    /// precedes.
    fn with_channels(&mut self, node: &'a Node, x: Place, [front, behind]: [usize; 2]) -> Done<Place> {
        let is_skipped = |op: &Op| matches!(op, Op::PadShortcut { before: 0, after: 0, .. });
        let last = x.place == self.layers.len() && x.place > 0 && !x.shared;
        let is_last = x.channel_axis() == Some(3);
        let place = if last && is_skipped(&self.layers[x.place - 1].op) {
            let Op::PadShortcut { before, after, .. } = &mut self.layers[x.place - 1].op else {
                unreachable!("it skips rows and columns")
            };
            (*before, *after) = (front, behind);
            let layer = &self.layers[x.place - 1];
            let shape = self.shapes[layer.inputs[0]].clone();
            self.shapes[x.place] = Layer::output(&layer.op, &[&shape])?;
            Place::new(x.place, &self.shapes[x.place], x.dims[0])
        } else {
            let op = Op::PadShortcut { stride: 1, before: front, after: behind };
            self.push_plain(label(node), op, &[&x])?
        };
        if is_last { place.transposed(&[0, 2, 3, 1]) } else { Ok(place) }
    }

    /// Converts the selection of every n-th row and column of an image, which exporters write as one node or
    /// as two.
    pub(super) fn slice(&mut self, node: &'a Node) -> Done<Value<'a>> {
        let (x, skipped) = match self.value_of(node, 0) {
            Some(Value::Skipped { place, axis, step }) => (place.clone(), Some((*axis, *step))),
            _ => (self.place(node, 0)?, None),
        };
        let mut dims = x.dims.clone();
        if let Some((axis, step)) = skipped {
            dims[axis] = dims[axis].div_ceil(step);
        }
        let steps = self.steps(node, &dims)?;
        if let [Steps { axis, first, step: 1, count }] = *steps
            && skipped.is_none()
            && x.channel_axis_of_any() == Some(axis)
            && count > 0
        {
            return self.channels_from(label(node), &x, axis, first, count).map(Value::Place);
        }
        let mut all: Vec<(usize, usize)> = skipped.into_iter().collect();
        for Steps { axis, first, step, count } in steps {
            if (first, step, count) == (0, 1, dims[axis]) {
                continue;
            }
            let step =
                usize::try_from(step).ok().filter(|step| (first, count) == (0, dims[axis].div_ceil(*step)));
            let fits = step.filter(|_| all.iter().all(|&(other, _)| other != axis));
            all.push((axis, fits.ok_or_else(|| {
                format!(
                    "takes {count} of {} from {first} on along axis {axis}, expected all, or every n-th row and \
                     column from the first one on",
                    dims[axis]
                )
            })?));
        }
        let channel = x.channel_axis().filter(|axis| x.sizes.len() == 3 && [1, 3].contains(axis));
        let space = if channel == Some(1) { [2, 3] } else { [1, 2] };
        let outside = all.iter().find(|(axis, _)| channel.is_none() || !space.contains(axis));
        if let Some((axis, step)) = outside {
            return Err(format!(
                "takes every {step}th along axis {axis}, expected rows and columns of an image"
            ));
        }
        let stride = match *all {
            [] => return Ok(Value::Place(x)),
            [(axis, step)] => return Ok(Value::Skipped { place: x, axis, step }),
            [(_, rows), (_, columns)] if rows == columns => rows,
            _ => return Err("skips rows and columns by different steps, expected equal ones".into()),
        };
        let op = Op::PadShortcut { stride, before: 0, after: 0 };
        let place = self.push_plain(label(node), op, &[&x])?;
        let place = if channel == Some(3) { place.transposed(&[0, 2, 3, 1])? } else { place };
        Ok(Value::Place(place))
    }

    /// Returns a place that a `Min` has capped, and its upper bound.
    fn capped(&self, node: &'a Node, i: usize) -> Option<(Place, f32)> {
        match self.value_of(node, i) {
            Some(Value::Capped { place, most }) => Some((place.clone(), *most)),
            _ => None,
        }
    }
}
