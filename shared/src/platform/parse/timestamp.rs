//! Strict timestamps (RFC 3339).

use std::fmt;

use jiff::{
    SignedDuration,
    civil::{Date, DateTime},
    tz::Offset,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};

/// A time with microseconds, from year 0000 to 9999 of UTC: the range that RFC 3339 can write
/// and the database can store.
///
/// Parsing follows RFC 3339, section 5.6: `T` and `Z` in either case, a required offset (`-00:00`
/// included), and any number of fractional digits, of which six are kept. A leap second is read as
/// the second before it, and accepted only where one can occur. Formatting has one form, UTC with
/// six digits, so that texts sort in the order of the times.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::disallowed_types)] // the only use of jiff's type
pub struct Timestamp(jiff::Timestamp);

#[allow(clippy::disallowed_types)]
impl Timestamp {
    pub const UNIX_EPOCH: Self = Self(jiff::Timestamp::UNIX_EPOCH);

    /// From 0000-01-01 to 9999-12-31T23:59:59.999999, in microseconds.
    const RANGE: std::ops::RangeInclusive<i64> = -62_167_219_200_000_000..=253_402_300_799_999_999;

    pub fn now() -> Self {
        Self::from_microsecond(jiff::Timestamp::now().as_microsecond()).unwrap_or(Self::UNIX_EPOCH)
    }

    /// Converts microseconds since 1970. Returns `None` outside the years 0000 to 9999.
    pub fn from_microsecond(microsecond: i64) -> Option<Self> {
        // jiff's maximum lies inside this range, so the conversion can fail.
        let moment = || jiff::Timestamp::from_microsecond(microsecond).ok().map(Self);
        Self::RANGE.contains(&microsecond).then(moment).flatten()
    }

    /// Converts seconds since 1970. Returns `None` outside the years 0000 to 9999.
    pub fn from_second(second: i64) -> Option<Self> {
        second.checked_mul(1_000_000).and_then(Self::from_microsecond)
    }

    /// Returns the microseconds since 1970.
    pub fn as_microsecond(self) -> i64 {
        self.0.as_microsecond()
    }

    /// Returns the whole seconds since 1970, rounded down.
    pub fn as_second(self) -> i64 {
        self.as_microsecond().div_euclid(1_000_000)
    }

    /// Returns the time from `other` to this time.
    pub fn duration_since(self, other: Self) -> SignedDuration {
        self.0.duration_since(other.0)
    }

    /// Subtracts a duration, down to the earliest time in range.
    #[must_use]
    pub fn saturating_sub(self, duration: SignedDuration) -> Self {
        let microseconds = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        let earlier = self.as_microsecond().saturating_sub(microseconds).max(*Self::RANGE.start());
        Self::from_microsecond(earlier).unwrap_or(Self::UNIX_EPOCH)
    }

    /// Parses an RFC 3339 timestamp.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (date, rest) = bytes.split_at_checked(10)?;
        let [b'T' | b't', rest @ ..] = rest else { return None };
        let (time, rest) = rest.split_at_checked(8)?;
        let (&[b'-', b'-'], &[b':', b':']) = (&[date[4], date[7]], &[time[2], time[5]]) else { return None };
        let year = number(&date[..4])?;
        let month = number(&date[5..7])?;
        let day = number(&date[8..])?;
        let hour = number(&time[..2])?;
        let minute = number(&time[3..5])?;
        let second = number(&time[6..])?;
        let (microsecond, rest) = fraction(rest)?;
        let offset = offset(rest)?;
        let small = |number: i16| i8::try_from(number).ok();
        let date = Date::new(year, small(month)?, small(day)?).ok()?;
        let time = jiff::civil::Time::new(small(hour)?, small(minute)?, small(second.min(59))?, 0).ok()?;
        let local = DateTime::from_parts(date, time);
        let seconds = Offset::UTC.to_timestamp(local).ok()?.as_second() - i64::from(offset) * 60;
        let moment = Self::from_microsecond(seconds.checked_mul(1_000_000)?.checked_add(microsecond)?)?;
        (second < 60 || second == 60 && moment.is_before_a_month()).then_some(moment)
    }

    /// Returns whether this is in the last second of a month of UTC, after which there can be a
    /// leap second (RFC 3339, section 5.7).
    fn is_before_a_month(self) -> bool {
        let next = Self::from_second(self.as_second() + 1).map(|next| Offset::UTC.to_datetime(next.0));
        next.is_some_and(|next| (next.day(), next.hour(), next.minute(), next.second()) == (1, 0, 0, 0))
    }
}

fn number(digits: &[u8]) -> Option<i16> {
    digits.iter().try_fold(0, |number: i16, digit| {
        digit.is_ascii_digit().then(|| number * 10 + i16::from(digit - b'0'))
    })
}

/// Parses an optional fraction. Returns its microseconds and the text that follows it.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.', rest @ ..] = text else { return Some((0, text)) };
    let end = rest.iter().position(|byte| !byte.is_ascii_digit()).filter(|end| *end > 0)?;
    let digits = rest[..end].iter().chain(std::iter::repeat(&b'0')).take(6);
    Some((digits.fold(0, |number, digit| number * 10 + i64::from(digit - b'0')), &rest[end..]))
}

/// Parses an offset. Returns minutes east of UTC.
fn offset(text: &[u8]) -> Option<i16> {
    let (sign, [a, b, b':', c, d]) = (match text {
        [b'Z' | b'z'] => return Some(0),
        [b'+', rest @ ..] => Some((1, rest)),
        [b'-', rest @ ..] => Some((-1, rest)),
        _ => None,
    })?
    else {
        return None;
    };
    let hours = number(&[*a, *b])?;
    let minutes = number(&[*c, *d])?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Offset::UTC.to_datetime(self.0);
        write!(f, "{:04}-{:02}-{:02}", at.year(), at.month(), at.day())?;
        write!(f, "T{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second())?;
        write!(f, ".{:06}Z", self.as_microsecond().rem_euclid(1_000_000))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
                let why = "must be a time of RFC 3339, like 2026-11-22T10:00:00Z";
                Timestamp::parse(text).ok_or_else(|| E::custom(why))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_timestamp_is_written_in_utc_with_six_digits() {
        for (text, written) in [
            ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00.000000Z"),
            ("2026-11-22t10:00:00z", "2026-11-22T10:00:00.000000Z"),
            ("2026-11-22T10:00:00.5Z", "2026-11-22T10:00:00.500000Z"),
            ("2026-11-22T10:00:00.1234567890123Z", "2026-11-22T10:00:00.123456Z"),
            ("2026-11-22T10:00:00.100000+05:30", "2026-11-22T04:30:00.100000Z"),
            ("2026-01-01T00:00:00-23:59", "2026-01-01T23:59:00.000000Z"),
            ("2026-11-22T10:00:00-00:00", "2026-11-22T10:00:00.000000Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000000Z"),
            ("1969-12-31T23:59:59.9Z", "1969-12-31T23:59:59.900000Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.000000Z"),
            ("2017-01-01T05:29:60.25+05:30", "2016-12-31T23:59:59.250000Z"),
        ] {
            let time = Timestamp::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(time.to_string(), written, "{text}");
            assert_eq!(Timestamp::parse(written), Some(time));
            assert_eq!(Timestamp::from_microsecond(time.as_microsecond()), Some(time));
            assert_eq!(serde_json::to_value(time).unwrap(), written);
        }
    }

    #[test]
    fn invalid_timestamp_is_rejected() {
        for wrong in [
            "",
            "2026-11-22",
            "2026-11-22T10:00Z",
            "2026-11-22T10:00:00",
            "2026-11-22 10:00:00Z",
            "2026-11-22_10:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T10:60:00Z",
            "2026-11-22T10:00:60Z",
            "2016-12-31T23:59:61Z",
            "2016-12-30T23:59:60Z",
            "2016-12-31T23:59:60+01:00",
            "2026-02-29T10:00:00Z",
            "2026-13-01T10:00:00Z",
            "2026-00-01T10:00:00Z",
            "2026-11-00T10:00:00Z",
            "2026-1-22T10:00:00Z",
            "20261122T100000Z",
            "+002026-11-22T10:00:00Z",
            "-002026-11-22T10:00:00Z",
            "12026-11-22T10:00:00Z",
            "2026-11-22T10:00:00.Z",
            "2026-11-22T10:00:00,5Z",
            "2026-11-22T10:00:00+01",
            "2026-11-22T10:00:00+0100",
            "2026-11-22T10:00:00+24:00",
            "2026-11-22T10:00:00+01:60",
            "2026-11-22T10:00:00+01:00:00",
            "2026-11-22T10:00:00\u{2212}01:00",
            "2026-11-22T10:00:00 Z",
            "2026-11-22T10:00:00Z ",
            " 2026-11-22T10:00:00Z",
            "2026-11-22T10:00:00Z[UTC]",
            "2026-11-22T+1:00:00Z",
            "0000-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "\u{0662}026-11-22T10:00:00Z",
            "now",
            "infinity",
        ] {
            assert_eq!(Timestamp::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn timestamp_outside_the_range_is_rejected_or_saturated() {
        assert_eq!(Timestamp::from_second(i64::MAX), None);
        assert_eq!(Timestamp::from_microsecond(*Timestamp::RANGE.start() - 1), None);
        let first = Timestamp::from_microsecond(*Timestamp::RANGE.start()).unwrap();
        assert_eq!(first.to_string(), "0000-01-01T00:00:00.000000Z");
        assert_eq!(first.saturating_sub(SignedDuration::MAX), first);
    }
}
