/// Receives the progress of long work and remarks on the choices made for the user.
///
/// Every method does nothing by default, so that `&()` observes nothing. Work is not nested: [`Observer::begin`] and
/// [`Observer::end`] alternate.
pub trait Observer: Sync {
    /// Work of `total` steps begins; `unit` names a step in the plural.
    fn begin(&self, total: u64, unit: &str) {
        let _ = (total, unit);
    }

    /// Names the object in work.
    fn subject(&self, name: &str) {
        let _ = name;
    }

    /// Steps are done. Threads call it at once.
    fn advance(&self, steps: u64) {
        let _ = steps;
    }

    /// The work has ended, or failed.
    fn end(&self) {}

    /// A sentence for the user: a choice among several readings of the input, or a warning.
    fn remark(&self, sentence: &str) {
        let _ = sentence;
    }
}

impl Observer for () {}
