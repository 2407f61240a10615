//! A place of the layer list as ONNX sees it: with a batch dimension, and with axes in another order if a
//! tool keeps channels last.

use quant::FloatTensor;

use super::convert::Done;

/// The output of a layer, or the input.
///
/// The layers see an image as [channels, height, width], or a list of features. ONNX may give the same values
/// another shape and order: its row-major order runs over the axes of `sizes`, nested as in `order`.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) place: usize,
    /// ONNX's shape, batch first.
    pub(super) dims: Vec<usize>,
    /// The row-major shape in which the layers see the values: an image, or a list of features, which may be
    /// a flattened image.
    pub(super) sizes: Vec<usize>,
    /// The axes of `sizes` that are longer than 1, in ONNX's order.
    pub(super) order: Vec<usize>,
    /// True if other nodes read these values too, so that the layer must not be changed for one reader alone.
    pub(super) shared: bool,
    /// True if the values are bytes; only a `Cast` to floats makes them values of the network.
    pub(super) bytes: bool,
}

fn product(sizes: &[usize]) -> usize {
    sizes.iter().product()
}

/// Returns the axes in their own order, without those of size 1.
fn natural(sizes: &[usize]) -> Vec<usize> {
    (0..sizes.len()).filter(|&axis| sizes[axis] != 1).collect()
}

impl Place {
    /// A place whose values ONNX has in the order of the layers.
    pub(super) fn new(place: usize, sizes: &[usize], batch: usize) -> Self {
        let dims = std::iter::once(batch).chain(sizes.iter().copied()).collect();
        let (sizes, order) = (sizes.to_vec(), natural(sizes));
        Self { place, dims, sizes, order, shared: false, bytes: false }
    }

    /// Returns the same values in another shape.
    pub(super) fn reshaped(self, dims: Vec<usize>) -> Self {
        Self { dims, ..self }
    }

    /// True if ONNX has the values in another order than the layers.
    pub(super) fn is_moved(&self) -> bool {
        !self.order.is_sorted()
    }

    /// Returns the axes of `sizes` inside each of ONNX's axes; `None` if the shape divides one of them.
    pub(super) fn axes(&self) -> Option<Vec<Vec<usize>>> {
        let mut left = self.order.iter().copied();
        let mut axes = vec![Vec::new()];
        for &size in &self.dims[1..] {
            let mut own = Vec::new();
            let mut covered = 1;
            while covered < size {
                let axis = left.next()?;
                covered *= self.sizes[axis];
                own.push(axis);
            }
            if covered != size {
                return None;
            }
            axes.push(own);
        }
        left.next().is_none().then_some(axes)
    }

    /// True if this image can be multiplied by `factors`, one for each channel, as ONNX broadcasts them.
    pub(super) fn takes_factors(&self, factors: &Self) -> bool {
        let [channels, ..] = *self.sizes else { return false };
        let is_one_each = *factors.sizes == [channels] || *factors.sizes == [channels, 1, 1];
        let Some(axis) = self.channel_axis().filter(|_| self.sizes.len() == 3 && is_one_each) else {
            return false;
        };
        let expected: Vec<usize> =
            (0..self.dims.len()).map(|i| if i == axis { channels } else { 1 }).collect();
        factors.dims.len() == self.dims.len() && factors.dims[1..] == expected[1..]
    }

    /// True if the channels are divided into groups, as in the middle of a shuffle.
    pub(super) fn is_divided(&self) -> bool {
        self.sizes.len() == 4
    }

    /// Divides the channels of an image, or the features, into groups if the shape does.
    pub(super) fn divided(self) -> Self {
        if self.axes().is_some() || self.sizes.len() == 4 {
            return self;
        }
        let [channels, height, width] = match *self.sizes {
            [features] => [features, 1, 1],
            [channels, height, width] => [channels, height, width],
            _ => return self,
        };
        let axis = self.dims[1..]
            .iter()
            .position(|&size| size > 1 && size < channels && channels.is_multiple_of(size));
        let divided = axis.into_iter().flat_map(|axis| self.dims[1 + axis..].iter()).find_map(|&groups| {
            if groups == 0 || !channels.is_multiple_of(groups) {
                return None;
            }
            let sizes = vec![groups, channels / groups, height, width];
            let order =
                self.order.iter().flat_map(|&axis| if axis == 0 { vec![0, 1] } else { vec![axis + 1] });
            let order = order.filter(|&axis| sizes[axis] != 1).collect();
            let place = Self { sizes, order, ..self.clone() };
            place.axes().is_some().then_some(place)
        });
        divided.unwrap_or(self)
    }

    /// Unites channels that [`Place::divided`] has divided, if the shape does. Returns the place, in which the groups are
    /// interleaved if there are several.
    pub(super) fn united(self, own: &[usize]) -> (Self, Option<usize>) {
        if !self.is_divided() {
            return (self, None);
        }
        let [groups, size, ..] = *self.sizes else { unreachable!("divided places have four sizes") };
        let at = |axis| self.order.iter().position(|&other| other == axis);
        let (first, second) = (at(0), at(1));
        let shuffle = match (first, second) {
            (Some(first), Some(second)) if first + 1 == second => None,
            (Some(first), Some(second)) if second + 1 == first => Some(groups),
            (None, _) | (_, None) => None,
            _ => return (self, None),
        };
        debug_assert!(groups * size == own[0]);
        let mut order: Vec<usize> = self.order.iter().map(|&axis| axis.max(1) - 1).collect();
        order.dedup();
        let place = Self { sizes: own.to_vec(), order, ..self.clone() };
        if place.axes().is_some() { (place, shuffle) } else { (self, None) }
    }

    /// Permutes ONNX's axes.
    pub(super) fn transposed(self, perm: &[usize]) -> Done<Self> {
        let dims: Vec<usize> = perm.iter().map(|&axis| self.dims[axis]).collect();
        if perm[0] != 0 {
            return Err(format!("perm is {perm:?}, expected the batch, 0, to stay in front"));
        }
        let axes = self
            .axes()
            .ok_or_else(|| format!("moves axes of {:?}, of which some are parts of others", self.dims))?;
        let order = perm.iter().flat_map(|&axis| axes[axis].clone()).collect();
        Ok(Self { dims, order, ..self })
    }

    /// Returns the size of an image, [channels, height, width], if ONNX has its axes in this order.
    pub(super) fn image(&self) -> Done<[usize; 3]> {
        let image = <[usize; 3]>::try_from(self.sizes.as_slice()).ok();
        let is_plain = !self.is_moved() && self.dims[1..] == self.sizes;
        image.filter(|_| is_plain).ok_or_else(|| match self.sizes.len() {
            3 if self.dims.len() == 4 => {
                format!(
                    "reads {:?} with its axes moved, expected [batch, channels, height, width]",
                    self.dims
                )
            }
            _ => format!(
                "reads {:?}, a mean or a flattened image, expected [batch, channels, height, width]",
                self.dims
            ),
        })
    }

    /// Returns ONNX's axis of an image's channels.
    pub(super) fn channel_axis(&self) -> Option<usize> {
        let [channels, height, width] = *self.sizes else { return None };
        let is = |dims: [usize; 3]| self.dims[1..] == dims;
        if !self.is_moved() && is([channels, height, width]) {
            return Some(1);
        }
        let last: Vec<usize> = [1, 2, 0].into_iter().filter(|&axis| self.sizes[axis] != 1).collect();
        if self.order == last && is([height, width, channels]) {
            return Some(3);
        }
        let axes = self.axes()?;
        axes.iter().position(|own| own == &[0])
    }

    /// Returns ONNX's axis of an image's channels, or of features, of which no other axis divides a part.
    pub(super) fn channel_axis_of_any(&self) -> Option<usize> {
        match *self.sizes {
            [_, _, _] => self.channel_axis(),
            [features] => {
                let mut long = (1..self.dims.len()).filter(|&axis| self.dims[axis] != 1);
                long.next().filter(|&axis| self.dims[axis] == features)
            }
            _ => None,
        }
    }

    /// Returns the position in the layers' order of ONNX's i-th value of an image.
    pub(super) fn own_index(&self, mut i: usize) -> usize {
        let mut own = 0;
        for &axis in self.order.iter().rev() {
            let size = self.sizes[axis];
            own += i % size * product(&self.sizes[axis + 1..]);
            i /= size;
        }
        own
    }

    /// Returns the value of a constant for each channel or feature, following ONNX's broadcasting over this
    /// shape.
    pub(super) fn per_channel(&self, constant: &FloatTensor, features: Option<usize>) -> Done<Vec<f32>> {
        let (shape, values) = (constant.shape(), constant.values());
        let count = features.unwrap_or(self.sizes[0]);
        if let [value] = *values {
            return Ok(vec![value; count]);
        }
        let wrong = |why: &str| {
            Err(format!(
                "has a constant of {shape:?} beside {:?}, expected one number, or one for each channel: {why}",
                self.dims
            ))
        };
        let ones = shape.iter().take_while(|&&n| n == 1).count();
        let Some(missing) = self.dims.len().checked_sub(shape.len() - ones.min(shape.len())) else {
            return wrong("it has more axes");
        };
        let aligned = std::iter::repeat_n(1, missing).chain(shape[ones..].iter().copied());
        let aligned: Vec<usize> = aligned.collect();
        let long: Vec<usize> = (0..aligned.len()).filter(|&axis| aligned[axis] != 1).collect();
        let [axis] = *long else { return wrong("it varies along several axes") };
        if aligned[axis] != self.dims[axis] || axis == 0 {
            return wrong("its size is another");
        }
        let Some(axes) = self.axes() else { return wrong("the shape divides an axis") };
        if features.is_some() {
            if values.len() != count {
                return wrong("it varies along a part of the features");
            }
            let mut own = vec![0.0; count];
            values.iter().enumerate().for_each(|(i, value)| own[self.own_index(i)] = *value);
            return Ok(own);
        }
        if axes[axis] != [0] {
            return wrong("it varies along height or width");
        }
        Ok(values.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_followed_through_shapes_and_orders() {
        let image = Place::new(3, &[8, 4, 5], 2);
        assert_eq!(image.axes().unwrap(), [vec![], vec![0], vec![1], vec![2]]);
        let last = image.clone().transposed(&[0, 2, 3, 1]).unwrap();
        assert_eq!((last.dims.as_slice(), last.order.as_slice()), (&[2, 4, 5, 8][..], &[1, 2, 0][..]));
        assert!(last.image().is_err() && last.is_moved() && last.channel_axis() == Some(3));
        let flat = last.clone().reshaped(vec![2, 160]);
        assert_eq!(flat.axes().unwrap(), [vec![], vec![1, 2, 0]]);
        // ONNX's value 9 is channel 1 of column 1 of row 0.
        assert_eq!(flat.own_index(9), 20 + 1);
        let back = last.transposed(&[0, 3, 1, 2]).unwrap();
        assert_eq!(back.image().unwrap(), [8, 4, 5]);
        // A channel shuffle divides the channel axis.
        let groups = image.clone().reshaped(vec![2, 2, 4, 4, 5]);
        assert_eq!(groups.axes(), None);
        assert!(groups.clone().transposed(&[0, 2, 1, 3, 4]).is_err());
        let moved = groups.divided().transposed(&[0, 2, 1, 3, 4]).unwrap();
        assert!(moved.is_divided() && moved.order == [1, 0, 2, 3]);
        let (united, groups) = moved.clone().reshaped(vec![2, 8, 4, 5]).united(&[8, 4, 5]);
        assert_eq!((united.image().unwrap(), groups), ([8, 4, 5], Some(2)));
        assert!(moved.reshaped(vec![2, 4, 10, 4]).united(&[8, 4, 5]).0.is_divided());
        let (same, groups) =
            image.reshaped(vec![2, 4, 2, 4, 5]).divided().reshaped(vec![2, 8, 20]).united(&[8, 4, 5]);
        assert_eq!(
            (same.dims.as_slice(), same.sizes.as_slice(), groups),
            (&[2, 8, 20][..], &[8, 4, 5][..], None)
        );
    }
}
