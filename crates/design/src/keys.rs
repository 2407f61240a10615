//! `key=value,key=value`, as fault models have it.

use crate::FaultModelError;

/// The pairs of a text that are not read yet, and the keys that were asked for.
pub(crate) struct Keys<'a> {
    name: &'a str,
    pairs: Vec<(&'a str, &'a str)>,
    asked: Vec<&'static str>,
}

impl<'a> Keys<'a> {
    /// Splits the pairs of the model `name`, which follow its colon. The value of `tensor` takes the rest of the text.
    pub(crate) fn split(name: &'a str, text: Option<&'a str>) -> Result<Self, FaultModelError> {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        let mut rest = text;
        while let Some(text) = rest {
            let (pair, after) = match text.split_once(',') {
                Some((pair, after)) if !text.starts_with("tensor=") => (pair, Some(after)),
                _ => (text, None),
            };
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if pairs.iter().any(|(known, _)| *known == key) {
                return Err(FaultModelError::Twice { model: name.into(), key: key.into() });
            }
            pairs.push((key, value));
            rest = after;
        }
        Ok(Self { name, pairs, asked: Vec::new() })
    }

    /// Reads the value of a key, if the key is present.
    pub(crate) fn take<T>(
        &mut self,
        key: &'static str,
        expected: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, FaultModelError> {
        self.asked.push(key);
        let Some(place) = self.pairs.iter().position(|(known, _)| *known == key) else { return Ok(None) };
        let (_, value) = self.pairs.remove(place);
        let wrong = || FaultModelError::Value { model: self.name.into(), key, value: value.into(), expected };
        read(value).map(Some).ok_or_else(wrong)
    }

    /// Reads the value of a key that must be present; `needed` are the keys that the model needs.
    pub(crate) fn need<T>(
        &mut self,
        key: &'static str,
        needed: &'static str,
        expected: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, FaultModelError> {
        self.take(key, expected, read)?.ok_or_else(|| self.missing(needed))
    }

    /// The error of a model that lacks the keys `needed`.
    pub(crate) fn missing(&self, needed: &'static str) -> FaultModelError {
        FaultModelError::Missing { model: self.name.into(), known: needed }
    }

    /// Checks that every key was read.
    pub(crate) fn end(self) -> Result<(), FaultModelError> {
        let Some((key, _)) = self.pairs.first() else { return Ok(()) };
        let (model, key) = (self.name.into(), (*key).into());
        Err(FaultModelError::Key { model, key, known: self.asked.join(", ") })
    }
}

/// Reads a number from `least` to `most`, written in plain digits.
pub(crate) fn number(text: &str, least: u64, most: u64) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && (least..=most).contains(number))
}
