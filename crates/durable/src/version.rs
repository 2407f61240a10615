use std::fmt;

use serde::Deserializer;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};

/// Returns the number in the field `key` of a JSON object. The other fields are not looked at, so a reader recognizes
/// a newer format whatever else that holds.
///
/// # Errors
/// The bytes are not one JSON object, or it has no such number.
pub fn version(json: &[u8], key: &'static str) -> serde_json::Result<u32> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let version = deserializer.deserialize_map(Field(key))?;
    deserializer.end()?;
    Ok(version)
}

struct Field(&'static str);

impl<'de> Visitor<'de> for Field {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "an object with a field `{}`", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u32, A::Error> {
        let mut version = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != self.0 {
                map.next_value::<IgnoredAny>()?;
            } else if version.replace(map.next_value()?).is_some() {
                return Err(Error::duplicate_field(self.0));
            }
        }
        version.ok_or_else(|| Error::missing_field(self.0))
    }
}
