//! AWS Secrets Manager.

use serde::Deserialize;
use serde_json::json;
use shared::platform::secret::Secret;

use super::{Answer, Aws, JsonOperation, Unanswered};

const GET_SECRET_VALUE: JsonOperation = JsonOperation {
    action: "secretsmanager:GetSecretValue",
    service: "secretsmanager",
    target: "secretsmanager.GetSecretValue",
    content_type: "application/x-amz-json-1.1",
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SecretValue {
    secret_string: Option<String>,
}

impl Aws {
    /// Reads the current value of a secret.
    pub async fn secret(&self, id: &str) -> Answer<Secret> {
        let answer: SecretValue = self.call(&GET_SECRET_VALUE, &json!({ "SecretId": id })).await?;
        let value = answer.secret_string.ok_or_else(|| Unanswered::unreadable(GET_SECRET_VALUE.action))?;
        Ok(Secret::new(value))
    }
}
