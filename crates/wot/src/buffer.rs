use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

/// Number of values in a cache line. Vectors that straddle two lines take twice the time.
const LINE: usize = 16;

/// Buffers of f32 values that are reused and not returned to the system: after the first training step, the
/// next ones allocate nothing large and touch no new page of memory.
///
/// A clone shares the buffers. Threads may take and drop buffers concurrently.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    /// Free buffers, by length.
    free: Arc<Mutex<BTreeMap<usize, Vec<Vec<f32>>>>>,
}

impl Pool {
    /// Returns a buffer of `len` values. They have the values of its last use.
    pub fn take(&self, len: usize) -> Buffer {
        let free = self.lock().get_mut(&len).and_then(Vec::pop);
        let values = free.unwrap_or_else(|| vec![0.0; len + LINE - 1]);
        // A cache line begins at most LINE - 1 values after any value.
        let start = values.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE - 1);
        let mut buffer = Buffer { values, start, len, pool: self.clone() };
        if cfg!(any(test, debug_assertions)) {
            // Old values must not be read; NaN reveals a read.
            buffer.fill(f32::NAN);
        }
        buffer
    }

    /// Returns the free buffers to the system; buffers of another batch size are useless.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, Vec<Vec<f32>>>> {
        self.free.lock().expect("nothing panics while it holds the lock")
    }
}

/// Values from a [`Pool`], which gets them back when they are dropped. The first value lies at the start of a
/// cache line.
#[derive(Debug)]
pub struct Buffer {
    values: Vec<f32>,
    start: usize,
    len: usize,
    pool: Pool,
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[self.start..][..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[self.start..][..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        self.pool.lock().entry(self.len).or_default().push(values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_used_again() {
        let pool = Pool::default();
        let first = pool.take(5);
        let place = first.as_ptr();
        let second = pool.take(5);
        assert_ne!(second.as_ptr(), place);
        drop(first);
        assert_eq!(pool.take(4).len(), 4);
        let again = pool.take(5);
        assert_eq!((again.as_ptr(), again.len()), (place, 5));
        assert!(again.as_ptr().addr().is_multiple_of(64));
        drop(again);
        pool.clear();
        assert!(pool.lock().is_empty());
    }
}
