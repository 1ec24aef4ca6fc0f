//! Statistics of an invocation's calls to other systems, by system.

use std::{collections::BTreeMap, time::Duration};

/// Maximum number of values of one metric in a line. Source:
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
const MOST_VALUES: usize = 100;

/// One attempt of a call.
pub(super) struct UpstreamCall {
    pub(super) system: String,
    pub(super) attempt: u64,
    pub(super) status: Option<u16>,
    pub(super) failure: Option<String>,
    pub(super) unauthorized: bool,
    pub(super) took: Duration,
}

/// Statistics by the system's name in metrics.
#[derive(Default)]
pub(super) struct UpstreamStats(pub BTreeMap<&'static str, SystemStats>);

#[derive(Default)]
pub(super) struct SystemStats {
    pub calls: u64,
    /// Calls without a response, or with a status of 500 or more.
    pub failures: u64,
    /// Calls other than the first attempt.
    pub retries: u64,
    /// Calls whose key or token the system rejected; not those that a firewall rejected.
    pub unauthorized: u64,
    pub latencies: Latencies,
}

/// Number of calls by latency, in tenths of a millisecond.
#[derive(Clone, Default)]
pub(super) struct Latencies(BTreeMap<u64, u64>);

impl UpstreamStats {
    pub fn count(&mut self, call: &UpstreamCall) {
        let stats = self.0.entry(prefix(&call.system)).or_default();
        stats.calls += 1;
        stats.failures +=
            u64::from(call.failure.is_some() || call.status.is_some_and(|status| status >= 500));
        stats.retries += u64::from(call.attempt > 1);
        stats.unauthorized += u64::from(call.unauthorized);
        *stats.latencies.0.entry((millis(call.took) * 10.0) as u64).or_default() += 1;
    }
}

impl Latencies {
    /// Returns latencies in milliseconds and how often each occurred. If there are more values
    /// than a line may hold, they are rounded to two digits and then to one, which leaves nine
    /// for each power of ten.
    pub fn values(&self) -> Vec<(f64, u64)> {
        let mut all = self.0.clone();
        for digits in [2, 1] {
            if all.len() <= MOST_VALUES {
                break;
            }
            all = all.into_iter().fold(BTreeMap::new(), |mut all, (value, count)| {
                *all.entry(rounded(value, digits)).or_default() += count;
                all
            });
        }
        all.into_iter().map(|(value, count)| (value as f64 / 10.0, count)).collect()
    }
}

/// Converts to milliseconds, rounded to a tenth.
pub(super) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

/// Returns the prefix of a system's metrics.
fn prefix(system: &str) -> &'static str {
    match system {
        "openai" => "OpenAi",
        "agent" => "Agent",
        "model" => "Model",
        "aws" => "Aws",
        // PostgREST, and the auth server that issues tokens.
        _ => "Supabase",
    }
}

fn rounded(value: u64, digits: u32) -> u64 {
    let unit = 10_u64.pow(value.checked_ilog10().unwrap_or_default().saturating_sub(digits - 1));
    (value + unit / 2) / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_latencies_are_rounded_and_all_are_counted() {
        let latencies = Latencies((0..100_000).map(|tenths| (tenths, 2)).collect());
        let values = latencies.values();
        assert!(values.len() <= MOST_VALUES, "{}", values.len());
        assert_eq!(values.iter().map(|(_, count)| count).sum::<u64>(), 200_000);
        let few = Latencies([(1, 1), (123_456, 1)].into());
        assert_eq!(few.values(), [(0.1, 1), (12_345.6, 1)]);
    }
}
