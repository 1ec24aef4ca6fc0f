//! Medians and percentiles, and their units.

use std::time::Duration;

/// Returns the middle value, or the mean of the two middle values.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    let middle = times.len() / 2;
    match times.len() % 2 {
        _ if times.is_empty() => Duration::ZERO,
        0 => (times[middle - 1] + times[middle]) / 2,
        _ => times[middle],
    }
}

/// Returns the smallest value that at least 99 % of the values do not exceed.
pub fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    let rank = (times.len() * 99).div_ceil(100);
    times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Returns a time in milliseconds, with one decimal.
pub fn milliseconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}

/// Returns a size in megabytes, with one decimal.
pub fn megabytes(bytes: u64) -> String {
    format!("{}.{}", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(milliseconds: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        milliseconds.into_iter().map(Duration::from_millis).collect()
    }

    #[test]
    fn median_is_the_middle_or_the_mean_of_the_two_middle_values() {
        let ms = |list: &[u64]| median(times(list.iter().copied())).as_micros();
        assert_eq!((ms(&[]), ms(&[3]), ms(&[9, 1, 5]), ms(&[1, 4, 2, 9])), (0, 3000, 5000, 3000));
    }

    #[test]
    fn p99_is_a_value_that_one_in_a_hundred_exceeds() {
        let ms = |list: Vec<Duration>| p99(list).as_millis();
        assert_eq!((ms(times([])), ms(times([3])), ms(times(1..=10))), (0, 3, 10));
        assert_eq!((ms(times(1..=100)), ms(times(1..=200)), ms(times(1..=201))), (99, 198, 199));
    }
}
