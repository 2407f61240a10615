use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::SharedText;

/// Name of a protection: `code`, or `code+policy` for another policy on detected words, e.g. `secded-72-64+zero-word`.
///
/// Both parts are printable ASCII characters without spaces; the crate `ecc` knows which names exist. A plan, its cells
/// and everything after them have the protection's id. Experiment files and options may also say the paper's name
/// of a code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProtectionName(SharedText);

/// The names in the paper and its release: id, name there.
const PAPER_NAMES: [(&str, &str); 6] = [
    ("faulty", "faulty"),
    ("parity-zero", "zero"),
    ("secded-72-64", "ecc"),
    ("in-place-64-57", "in-place"),
    ("parity-avg", "avg"),
    ("vote", "vote"),
];

/// Short names that are not the paper's: id, name.
const SHORT_NAMES: [(&str, &str); 1] = [("idealized-64", "idealized")];

/// A text that is not the name of a protection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "protection name {0:?}, expected `code` or `code+policy` in printable ASCII characters without spaces"
)]
pub struct ProtectionNameError(pub String);

impl ProtectionName {
    /// Checks the syntax of a name.
    ///
    /// # Errors
    /// When a part is empty, has a character that is not printable ASCII, or a space, or when there are more than two
    /// parts.
    pub fn new(text: impl Into<String>) -> Result<Self, ProtectionNameError> {
        let text = text.into();
        let mut parts = text.split('+');
        let is_part = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic());
        if parts.by_ref().take(2).all(is_part) && parts.next().is_none() {
            return Ok(Self(text.into()));
        }
        Err(ProtectionNameError(text))
    }

    /// Returns the whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the id of the code: the name without its policy, and if that is a name in the paper, the id of the code
    /// that the paper means.
    pub fn code(&self) -> &str {
        let code = self.0.split_once('+').map_or(self.as_str(), |(code, _)| code);
        let known = PAPER_NAMES.iter().chain(&SHORT_NAMES).find(|(_, name)| *name == code);
        known.map_or(code, |(id, _)| id)
    }

    /// Returns the id of the policy on detected words, if the name has one.
    pub fn policy(&self) -> Option<&str> {
        self.0.split_once('+').map(|(_, policy)| policy)
    }

    /// Returns the name in the paper or its release of the protection with this id, if it has one there.
    pub fn in_paper(&self) -> Option<&'static str> {
        PAPER_NAMES.iter().find(|(id, _)| self.0 == *id).map(|(_, name)| *name)
    }

    /// Returns the label in tables, legends and captions: the id, after the paper's name if that differs, e.g.
    /// `zero (parity-zero)`.
    pub fn label(&self) -> String {
        match self.in_paper() {
            Some(name) if self.0 != name => format!("{name} ({self})"),
            _ => self.0.as_str().into(),
        }
    }
}

impl Deref for ProtectionName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for ProtectionName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<&str> for ProtectionName {
    fn eq(&self, text: &&str) -> bool {
        self.0 == **text
    }
}

impl fmt::Display for ProtectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ProtectionName {
    type Err = ProtectionNameError;

    fn from_str(text: &str) -> Result<Self, ProtectionNameError> {
        Self::new(text)
    }
}

impl TryFrom<String> for ProtectionName {
    type Error = ProtectionNameError;

    fn try_from(text: String) -> Result<Self, ProtectionNameError> {
        Self::new(text)
    }
}

impl From<ProtectionName> for String {
    fn from(name: ProtectionName) -> Self {
        name.as_str().into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn name(text: &str) -> ProtectionName {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_has_a_code_and_at_most_one_policy() {
        for (text, code, policy) in [
            ("faulty", "faulty", None),
            ("ecc", "secded-72-64", None),
            ("in-place+zero-word", "in-place-64-57", Some("zero-word")),
            ("idealized", "idealized-64", None),
            ("idealized-64-t2", "idealized-64-t2", None),
            ("my-code_2+panic", "my-code_2", Some("panic")),
            ("bch|2", "bch|2", None),
        ] {
            assert_eq!((name(text).code(), name(text).policy()), (code, policy), "{text}");
            assert_eq!(name(text).to_string(), text);
        }
        for text in ["", "+", "ecc+", "+keep", "a+b+c", "a b", "a\n", "a\u{1b}", "a\u{202e}", "é"] {
            assert_eq!(ProtectionName::new(text), Err(ProtectionNameError(text.into())));
        }
        assert_eq!(
            ProtectionName::new("a b").unwrap_err().to_string(),
            "protection name \"a b\", expected `code` or `code+policy` in printable ASCII characters without spaces"
        );
    }

    #[test]
    fn json_holds_the_text_and_is_checked() {
        assert_eq!(serde_json::to_string(&name("ecc+keep")).unwrap(), "\"ecc+keep\"");
        assert_eq!(serde_json::from_str::<ProtectionName>("\"zero\"").unwrap(), name("zero"));
        let refused = serde_json::from_str::<ProtectionName>("\"\"").unwrap_err().to_string();
        assert!(refused.starts_with("protection name \"\", expected "), "{refused}");
    }

    #[test]
    fn a_label_says_the_papers_name_first() {
        for (id, in_paper, label) in [
            ("faulty", Some("faulty"), "faulty"),
            ("parity-zero", Some("zero"), "zero (parity-zero)"),
            ("secded-72-64", Some("ecc"), "ecc (secded-72-64)"),
            ("parity-avg", Some("avg"), "avg (parity-avg)"),
            ("vote", Some("vote"), "vote"),
            ("idealized-64", None, "idealized-64"),
            ("secded-72-64+zero-word", None, "secded-72-64+zero-word"),
        ] {
            assert_eq!((name(id).in_paper(), name(id).label()), (in_paper, label.to_string()), "{id}");
        }
    }

    #[test]
    fn no_name_stands_for_two_codes() {
        let all = || PAPER_NAMES.iter().chain(&SHORT_NAMES);
        let texts: BTreeSet<&str> = all().flat_map(|(id, name)| [*id, *name]).collect();
        let same = all().filter(|(id, name)| id == name).count();
        assert_eq!(texts.len() + same, 2 * all().count());
    }
}
