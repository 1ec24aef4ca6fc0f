//! Strict integers in text (the integers of RFC 8259, section 6).

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Deserializer, de::Visitor};

/// Parses digits without a plus sign, leading zeros or surrounding characters. A minus sign is
/// allowed if the type has negative numbers. `FromStr` alone would accept `+5` and `007`.
pub fn integer<T: FromStr>(text: &str) -> Option<T> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let shortest = text == "0" || !digits.starts_with('0');
    (plain && shortest).then(|| text.parse().ok()).flatten()
}

/// An integer in a query parameter or configuration value, where it is text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integer<T>(pub T);

impl<'de, T: FromStr> Deserialize<'de> for Integer<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<T>(PhantomData<T>);
        impl<T: FromStr> Visitor<'_> for Text<T> {
            type Value = Integer<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Integer<T>, E> {
                let why = "must be an integer in this range, without a plus sign or leading zeros";
                integer(text).map(Integer).ok_or_else(|| E::custom(why))
            }
        }
        deserializer.deserialize_str(Text(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integer_in_another_form_is_rejected() {
        assert_eq!(integer::<u16>("0"), Some(0));
        assert_eq!(integer::<u16>("65535"), Some(65_535));
        assert_eq!(integer::<i64>("-7"), Some(-7));
        for wrong in
            ["", "+5", "05", "00", "-0", "-07", "-", "5.0", "5e1", " 5", "5 ", "5_0", "0x5", "\u{ff15}"]
        {
            assert_eq!(integer::<i64>(wrong), None, "{wrong:?}");
        }
        assert_eq!(integer::<u16>("65536"), None);
        assert_eq!(integer::<u16>("-1"), None);
    }
}
