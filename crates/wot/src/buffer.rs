use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

/// Values in a cache line; vectors that straddle two lines take twice the time.
const LINE: usize = 16;

/// Buffers of f32 values that are used again instead of being given back to the system: after a first
/// training step the next ones allocate nothing large and touch no new page of memory.
///
/// A clone shares the buffers. Threads may take and drop buffers at the same time.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    /// Free buffers, by length.
    free: Arc<Mutex<BTreeMap<usize, Vec<Vec<f32>>>>>,
}

impl Pool {
    /// A buffer of `len` values, which are whatever the last user left.
    pub fn take(&self, len: usize) -> Buffer {
        let free = self.lock().get_mut(&len).and_then(Vec::pop);
        let values = free.unwrap_or_else(|| vec![0.0; len + LINE - 1]);
        // A line begins at most LINE - 1 values after any value.
        let start = values.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE - 1);
        let mut buffer = Buffer { values, start, len, pool: self.clone() };
        if cfg!(any(test, debug_assertions)) {
            // Nobody may read what is left: where somebody does, it shows.
            buffer.fill(f32::NAN);
        }
        buffer
    }

    /// Gives the free buffers back to the system: those of another batch size are of no use any more.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, Vec<Vec<f32>>>> {
        self.free.lock().expect("nothing panics while it holds the lock")
    }
}

/// Values from a [`Pool`], to which they return when dropped. The first lies at the start of a cache line.
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
