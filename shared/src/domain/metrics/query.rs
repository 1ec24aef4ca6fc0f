//! Query parameters of `GET /chatkit/metrics`.

use jiff::SignedDuration;
use serde::Serialize;

use super::MetricsReport;
use crate::{
    clients::supabase::Rpc,
    error::{Error, FieldError},
    platform::{parse::Timestamp, string_enum::words},
};

/// Default length of the window.
const DEFAULT_SPAN: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Default time within which people are expected to decide, in seconds.
const DEFAULT_SERVICE_LEVEL: u32 = 3600;

/// One year, in seconds.
const MAX_SERVICE_LEVEL: u32 = 31_536_000;

words! {
    /// Length of the buckets of a window. They begin at full hours or at midnight, in UTC.
    pub enum Bucket {
        Hour = "hour",
        Day = "day",
    }
}

words! {
    /// The dimension by which sessions are counted separately.
    pub enum GroupBy {
        None = "none",
        /// The agent that the session is with now.
        Agent = "agent",
        Channel = "channel",
    }
}

/// Valid query parameters, serialised as arguments of the RPC function.
#[derive(Debug, Serialize)]
pub struct MetricsQuery {
    #[serde(rename = "p_from")]
    from: Timestamp,
    #[serde(rename = "p_to")]
    to: Timestamp,
    #[serde(rename = "p_bucket")]
    bucket: Bucket,
    #[serde(rename = "p_group_by")]
    group_by: GroupBy,
    #[serde(rename = "p_service_level_seconds")]
    service_level_seconds: u32,
}

impl Rpc for MetricsQuery {
    const NAME: &'static str = "get_metrics";
    const IS_SLOW: bool = true;
    type Output = MetricsReport;
}

impl Bucket {
    const fn length(self) -> SignedDuration {
        SignedDuration::from_hours(match self {
            Self::Hour => 1,
            Self::Day => 24,
        })
    }

    /// Maximum length of the window, in days: people read the buckets.
    const fn max_days(self) -> i64 {
        match self {
            Self::Hour => 31,
            Self::Day => 400,
        }
    }

    /// Returns the start of the bucket that contains this time.
    fn start_of(self, at: Timestamp) -> Timestamp {
        let into = at.as_second().rem_euclid(self.length().as_secs());
        // Out of range only for the earliest timestamps; `MetricsQuery::new` rejects those.
        Timestamp::from_second(at.as_second() - into).unwrap_or(at)
    }
}

impl MetricsQuery {
    /// Validates the parameters and applies the defaults: a window of a week that ends now and
    /// begins at the start of a bucket, buckets of a day, no groups, and a service level of one
    /// hour.
    ///
    /// # Errors
    /// Returns `invalid_request` with every invalid parameter.
    pub fn new(
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        bucket: Option<Bucket>,
        group_by: Option<GroupBy>,
        service_level_seconds: Option<u32>,
    ) -> Result<Self, Error> {
        let bucket = bucket.unwrap_or(Bucket::Day);
        let to = to.unwrap_or_else(Timestamp::now);
        let from = from.unwrap_or_else(|| bucket.start_of(to.saturating_sub(DEFAULT_SPAN)));
        let service_level_seconds = service_level_seconds.unwrap_or(DEFAULT_SERVICE_LEVEL);
        let mut wrong = Vec::new();
        if from < Timestamp::UNIX_EPOCH {
            wrong.push(FieldError::at("from", "must not be before 1970"));
        }
        if to <= from {
            wrong.push(FieldError::at(
                "to",
                "must be after from, which is a week before to where it is left out",
            ));
        } else if to.duration_since(from) > SignedDuration::from_hours(24 * bucket.max_days()) {
            let detail =
                format!("must be at most {} days before to, by {}", bucket.max_days(), bucket.as_str());
            wrong.push(FieldError::at("from", detail));
        }
        if !(1..=MAX_SERVICE_LEVEL).contains(&service_level_seconds) {
            let detail = format!("must be from 1 to {MAX_SERVICE_LEVEL}");
            wrong.push(FieldError::at("serviceLevelSeconds", detail));
        }
        if wrong.is_empty() {
            let group_by = group_by.unwrap_or(GroupBy::None);
            Ok(Self { from, to, bucket, group_by, service_level_seconds })
        } else {
            Err(Error::invalid(wrong))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn default_window_is_a_week_from_the_start_of_a_bucket() {
        let query = MetricsQuery::new(None, Some(at("2026-11-22T10:30:00Z")), None, None, None).unwrap();
        assert_eq!(query.from, at("2026-11-15T00:00:00Z"));
        let hours = MetricsQuery::new(None, Some(query.to), Some(Bucket::Hour), None, None).unwrap();
        assert_eq!(hours.from, at("2026-11-15T10:00:00Z"));
        let json = serde_json::to_value(query).unwrap();
        assert_eq!(json["p_bucket"], "day");
        assert_eq!(json["p_group_by"], "none");
        assert_eq!(json["p_service_level_seconds"], 3600);
    }

    #[test]
    fn invalid_parameters_are_all_reported() {
        let wrong = |from: &str, to: &str, bucket, level| {
            let error = MetricsQuery::new(Some(at(from)), Some(at(to)), bucket, None, level).unwrap_err();
            error.fields.into_iter().map(|field| field.pointer).collect::<Vec<_>>()
        };
        let early = "2026-01-01T00:00:00Z";
        let late = "2026-11-01T00:00:00Z";
        assert_eq!(wrong(late, early, None, Some(0)), ["to", "serviceLevelSeconds"]);
        assert_eq!(wrong(early, early, None, None), ["to"]);
        assert_eq!(
            wrong(early, late, Some(Bucket::Hour), Some(MAX_SERVICE_LEVEL + 1)),
            ["from", "serviceLevelSeconds"]
        );
        assert_eq!(wrong("2025-01-01T00:00:00Z", "2026-02-05T00:00:01Z", None, None), ["from"]);
        assert_eq!(wrong("1969-12-31T00:00:00Z", "1970-01-02T00:00:00Z", None, None), ["from"]);
    }
}
