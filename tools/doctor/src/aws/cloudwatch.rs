//! CloudWatch: alarms and metrics.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use shared::platform::parse::Timestamp;

use super::{Answer, Aws, JsonOperation};

/// Alarms by name, under the names of the API, which are those of the template.
pub type Alarms = BTreeMap<String, Value>;

/// The values of a metric for periods of five minutes, by the beginning of each in seconds since
/// 1970.
pub type MetricValues = BTreeMap<i64, f64>;

/// The length of a period of a metric, in seconds.
pub const PERIOD: i64 = 300;

/// The largest number of names in one request.
const MAX_NAMES: usize = 100;

const DESCRIBE_ALARMS: JsonOperation = JsonOperation {
    action: "cloudwatch:DescribeAlarms",
    service: "monitoring",
    target: "GraniteServiceVersion20100801.DescribeAlarms",
    content_type: "application/x-amz-json-1.0",
};

const GET_METRIC_DATA: JsonOperation = JsonOperation {
    action: "cloudwatch:GetMetricData",
    target: "GraniteServiceVersion20100801.GetMetricData",
    ..DESCRIBE_ALARMS
};

/// A metric of one resource.
#[derive(Clone, Debug)]
pub struct Metric {
    pub namespace: &'static str,
    pub name: &'static str,
    pub statistic: &'static str,
    pub dimension: &'static str,
    pub resource: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedAlarms {
    #[serde(default)]
    metric_alarms: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetricData {
    #[serde(default)]
    metric_data_results: Vec<MetricDataResult>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetricDataResult {
    id: String,
    #[serde(default)]
    timestamps: Vec<f64>,
    #[serde(default)]
    values: Vec<f64>,
}

impl Aws {
    pub async fn alarms(&self, names: &[&str]) -> Answer<Alarms> {
        let mut alarms = Alarms::new();
        for names in names.chunks(MAX_NAMES) {
            let input = json!({ "AlarmNames": names, "MaxRecords": MAX_NAMES });
            let answer: DescribedAlarms = self.call(&DESCRIBE_ALARMS, &input).await?;
            let named = |alarm: Value| Some((alarm["AlarmName"].as_str()?.to_owned(), alarm));
            alarms.extend(answer.metric_alarms.into_iter().filter_map(named));
        }
        Ok(alarms)
    }

    /// Reads metrics since a time, in the order of `metrics`.
    pub async fn metric_values(&self, metrics: &[Metric], since: Timestamp) -> Answer<Vec<MetricValues>> {
        let query = |(index, metric): (usize, &Metric)| {
            json!({ "Id": format!("m{index}"), "MetricStat": { "Period": PERIOD, "Stat": metric.statistic, "Metric": {
                "Namespace": metric.namespace, "MetricName": metric.name,
                "Dimensions": [{ "Name": metric.dimension, "Value": metric.resource }]
            } } })
        };
        let queries: Vec<Value> = metrics.iter().enumerate().map(query).collect();
        let mut input = json!({
            "MetricDataQueries": queries,
            "StartTime": since.as_second(),
            "EndTime": Timestamp::now().as_second(),
        });
        let mut values = vec![MetricValues::new(); metrics.len()];
        loop {
            let answer: MetricData = self.call(&GET_METRIC_DATA, &input).await?;
            for MetricDataResult { id, timestamps, values: numbers } in answer.metric_data_results {
                let index = id.strip_prefix('m').and_then(|index| index.parse::<usize>().ok());
                if let Some(values) = index.and_then(|index| values.get_mut(index)) {
                    // Whole seconds, in a number with a fraction.
                    #[allow(clippy::cast_possible_truncation)]
                    values.extend(timestamps.into_iter().map(|time| time as i64).zip(numbers));
                }
            }
            match answer.next_token {
                Some(token) => input["NextToken"] = token.into(),
                None => return Ok(values),
            }
        }
    }
}
