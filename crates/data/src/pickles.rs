//! The Python version of CIFAR (<https://www.cs.toronto.edu/~kriz/cifar.html>), which torchvision downloads.
//! Each batch is a pickled dict; a row of `data` holds the pixels of one image in CHW order.
//!
//! Python 2 wrote the published files. Files that Python 3 has pickled again have other protocols, keys that
//! are `str` or `bytes`, numpy's newer module names, arrays in Fortran order, or lists instead of arrays. All
//! of these are read and give the same values. Nothing in a pickle is executed.

use pickle::{Array, Object, Pickle};

use crate::MAX_PIXEL_BYTES;
use crate::cifar::PIXEL_BYTES;

/// The largest number of keys; the published files have four or five.
const MAX_KEYS: usize = 64;

/// Returns pixels and labels of a batch; the labels are under `label_key`. The error states what is wrong.
pub(crate) fn batch(bytes: &[u8], label_key: &str) -> Result<(Vec<u8>, Vec<i64>), String> {
    let pickle = Pickle::parse(bytes, 0).map_err(|error| format!("not a supported pickle: {error}"))?;
    let Some(items) = pickle.items(pickle.root()) else {
        return Err(format!("a pickled {}, expected a dict", pickle.get(pickle.root()).kind()));
    };
    if items.len() > MAX_KEYS {
        return Err(format!("a dict of {} keys, expected at most {MAX_KEYS}", items.len()));
    }
    let named: Vec<(String, pickle::Id)> = items
        .iter()
        .map(|&(key, value)| {
            let text = pickle.text(key).map(str::to_owned);
            let text = text.or_else(|| Some(String::from_utf8_lossy(&pickle.bytes(key)?).into_owned()));
            (text.unwrap_or_else(|| format!("of type {}", pickle.get(key).kind())), value)
        })
        .collect();
    // The last of several equal keys counts.
    let value = |name: &str| {
        named.iter().rev().find(|(key, _)| key == name).map(|&(_, value)| value).ok_or_else(|| {
            let keys: Vec<String> = named
                .iter()
                .map(|(key, _)| format!("{:?}", key.chars().take(40).collect::<String>()))
                .collect();
            format!("no key {name:?}; the keys are {}", keys.join(", "))
        })
    };
    let (data, labels) = (value("data")?, value(label_key)?);
    let pixels = pixels(&pickle, data).map_err(|reason| format!("data {reason}"))?;
    let labels = labels_of(&pickle, labels).map_err(|reason| format!("{label_key} {reason}"))?;
    let images = pixels.len() / PIXEL_BYTES;
    if labels.len() != images {
        return Err(format!(
            "{label_key} has {} values, expected {images}, one for each row of data",
            labels.len()
        ));
    }
    Ok((pixels, labels))
}

/// Returns the rows of `data`, one after the other.
fn pixels(pickle: &Pickle, id: pickle::Id) -> Result<Vec<u8>, String> {
    if let Some(array) = array(pickle, id)? {
        return match *array.shape {
            [_, PIXEL_BYTES] | [_, 3, 32, 32] => bytes(&array),
            _ => Err(format!("has shape {:?}, expected (images, {PIXEL_BYTES})", array.shape)),
        };
    }
    let Some(rows) = elements(pickle, id) else {
        return Err(format!("is of type {}, expected an array", pickle.get(id).kind()));
    };
    if rows.len() as u64 > MAX_PIXEL_BYTES / PIXEL_BYTES as u64 {
        return Err(format!("has {} rows, expected at most {MAX_PIXEL_BYTES} bytes of pixels", rows.len()));
    }
    let mut pixels = Vec::new();
    for (image, &row) in rows.iter().enumerate() {
        let wrong = |found: String| format!("of image {image} {found}, expected {PIXEL_BYTES} values");
        if let Some(array) = array(pickle, row)? {
            if array.shape.iter().product::<usize>() != PIXEL_BYTES || array.shape.len() != 1 {
                return Err(wrong(format!("has shape {:?}", array.shape)));
            }
            pixels.extend(bytes(&array)?);
        } else if let Some(values) = elements(pickle, row) {
            if values.len() != PIXEL_BYTES {
                return Err(wrong(format!("has {}", values.len())));
            }
            for &value in values {
                let value = integer(pickle, value)?;
                pixels.push(u8::try_from(value).map_err(|_| outside(value))?);
            }
        } else {
            return Err(wrong(format!("is of type {}", pickle.get(row).kind())));
        }
    }
    Ok(pixels)
}

fn labels_of(pickle: &Pickle, id: pickle::Id) -> Result<Vec<i64>, String> {
    if let Some(array) = array(pickle, id)? {
        return match *array.shape {
            [count] => (0..count).map(|i| element(&array, i)).collect(),
            _ => Err(format!("has shape {:?}, expected (images,)", array.shape)),
        };
    }
    match elements(pickle, id) {
        Some(values) => values.iter().map(|&value| integer(pickle, value)).collect(),
        None => Err(format!("is of type {}, expected a list", pickle.get(id).kind())),
    }
}

fn array<'a>(pickle: &Pickle<'a>, id: pickle::Id) -> Result<Option<Array<'a>>, String> {
    pickle.array(id).transpose().map_err(|error| format!("cannot be read: {error}"))
}

fn elements<'p>(pickle: &'p Pickle, id: pickle::Id) -> Option<&'p [pickle::Id]> {
    match pickle.get(id) {
        Object::List(elements) | Object::Tuple(elements) => Some(elements),
        _ => None,
    }
}

/// Returns a Python or numpy integer.
fn integer(pickle: &Pickle, id: pickle::Id) -> Result<i64, String> {
    if let Some(value) = pickle.int(id) {
        return Ok(value);
    }
    match array(pickle, id)? {
        Some(scalar) if scalar.shape.is_empty() => element(&scalar, 0),
        _ => Err(format!("holds a {}, expected integers", pickle.get(id).kind())),
    }
}

/// Returns the element at position `index` of the bytes.
fn element(array: &Array, index: usize) -> Result<i64, String> {
    let size = array.size;
    if !matches!(array.kind, 'i' | 'u') || !matches!(size, 1 | 2 | 4 | 8) {
        return Err(format!("has elements of type {}{size}, expected integers", array.kind));
    }
    let bytes = &array.data[index * size..(index + 1) * size];
    let mut value = [0; 8];
    for (place, &byte) in value.iter_mut().zip(bytes) {
        *place = byte;
    }
    if array.big_endian {
        value[..size].reverse();
    }
    let value = u64::from_le_bytes(value);
    // A value above the largest i64 becomes the largest i64, which is no label either.
    let unused = 64 - 8 * size as u32;
    Ok(if array.kind == 'i' {
        (value << unused) as i64 >> unused
    } else {
        i64::try_from(value).unwrap_or(i64::MAX)
    })
}

/// Returns the elements as bytes in C order.
fn bytes(array: &Array) -> Result<Vec<u8>, String> {
    let count: usize = array.shape.iter().product();
    let plain = (array.kind, array.size) == ('u', 1);
    if plain && !array.fortran {
        return Ok(array.data.to_vec());
    }
    let mut values = Vec::with_capacity(count);
    // Distance in the data between neighbours along each dimension.
    let mut strides = vec![1; array.shape.len()];
    for i in 1..strides.len() {
        strides[i] = strides[i - 1] * array.shape[i - 1];
    }
    for index in 0..count {
        let mut place = index;
        if array.fortran {
            let mut rest = index;
            place = 0;
            for (&size, stride) in array.shape.iter().zip(&strides).rev() {
                place += rest % size * stride;
                rest /= size;
            }
        }
        let value = if plain { array.data[place].into() } else { element(array, place)? };
        values.push(u8::try_from(value).map_err(|_| outside(value))?);
    }
    Ok(values)
}

fn outside(value: i64) -> String {
    format!("holds {value}, expected 0 to 255")
}
