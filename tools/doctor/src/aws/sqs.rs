//! SQS: the number of messages in a queue.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::{Answer, Aws, JsonOperation, Unanswered};

const GET_QUEUE_ATTRIBUTES: JsonOperation = JsonOperation {
    action: "sqs:GetQueueAttributes",
    service: "sqs",
    target: "AmazonSQS.GetQueueAttributes",
    content_type: "application/x-amz-json-1.0",
};

const VISIBLE: &str = "ApproximateNumberOfMessages";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct QueueAttributes {
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

impl Aws {
    pub async fn waiting_messages(&self, queue_url: &str) -> Answer<u64> {
        let input = json!({ "QueueUrl": queue_url, "AttributeNames": [VISIBLE] });
        let answer: QueueAttributes = self.call(&GET_QUEUE_ATTRIBUTES, &input).await?;
        let number = answer.attributes.get(VISIBLE).and_then(|number| number.parse().ok());
        number.ok_or_else(|| Unanswered::unreadable(GET_QUEUE_ATTRIBUTES.action))
    }
}
