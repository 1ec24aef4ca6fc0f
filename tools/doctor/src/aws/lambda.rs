//! Lambda: functions, their URLs and policies, the account's limits, and the deployed doctor.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use shared::platform::parse::Timestamp;

use super::{Answer, Aws, Unanswered, segment};

/// A function, as `GetFunction` describes it. It does not implement `Debug`, because its variables
/// are secrets.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Function {
    /// The settings, under the names of the API, which are those of the template.
    pub configuration: Value,
    pub tags: BTreeMap<String, String>,
    /// Why AWS leaves the tags out.
    pub tags_error: Option<Value>,
    pub concurrency: Concurrency,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Concurrency {
    pub reserved_concurrent_executions: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FunctionUrl {
    pub auth_type: String,
    pub invoke_mode: String,
}

/// A permission in a function's policy, in the terms of the template.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    pub principal: String,
    pub action: String,
    pub source_arn: Option<String>,
    pub url_auth_type: Option<String>,
    pub via_url_only: bool,
    /// Whether there are other conditions.
    pub has_other_conditions: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AccountSettings {
    pub account_limit: AccountLimit,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AccountLimit {
    pub concurrent_executions: u64,
    pub unreserved_concurrent_executions: u64,
}

/// The result of an invocation.
#[derive(Clone, Debug, Default)]
pub struct Invocation {
    pub has_failed: bool,
    pub payload: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    policy: String,
}

impl Function {
    /// Returns a setting of the function.
    pub fn setting(&self, name: &str) -> &Value {
        &self.configuration[name]
    }

    /// Returns the variables. `None` if AWS cannot decrypt them.
    pub fn variables(&self) -> Option<BTreeMap<String, String>> {
        let environment = self.setting("Environment");
        if !environment["Error"].is_null() {
            return None;
        }
        let variables = environment["Variables"].as_object().into_iter().flatten();
        Some(
            variables
                .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
                .collect(),
        )
    }

    /// Returns the time of the last update of the code or the settings.
    pub fn modified(&self) -> Option<Timestamp> {
        // `2026-11-27T20:00:00.000+0000`, without the colon of RFC 3339.
        let text = self.setting("LastModified").as_str()?;
        let colon = text.len().checked_sub(2)?;
        Timestamp::parse(text).or_else(|| {
            let (time, minutes) = text.split_at_checked(colon)?;
            Timestamp::parse(&format!("{time}:{minutes}"))
        })
    }
}

impl Aws {
    pub async fn function(&self, name: &str) -> Answer<Function> {
        self.get("lambda:GetFunction", "lambda", &format!("/2015-03-31/functions/{}", segment(name))).await
    }

    pub async fn function_url(&self, name: &str) -> Answer<FunctionUrl> {
        let path = format!("/2021-10-31/functions/{}/url", segment(name));
        self.get("lambda:GetFunctionUrlConfig", "lambda", &path).await
    }

    /// Reads the permissions that others have on a function.
    pub async fn permissions(&self, name: &str) -> Answer<Vec<Permission>> {
        const ACTION: &str = "lambda:GetPolicy";
        let path = format!("/2015-03-31/functions/{}/policy", segment(name));
        let policy: Policy = match self.get(ACTION, "lambda", &path).await {
            // A function without a permission does not have a policy.
            Err(unanswered) if unanswered.is_missing() => return Ok(Vec::new()),
            policy => policy?,
        };
        let policy: Value =
            serde_json::from_str(&policy.policy).map_err(|_| Unanswered::unreadable(ACTION))?;
        let statements = policy["Statement"].as_array().ok_or_else(|| Unanswered::unreadable(ACTION))?;
        let allowing = statements.iter().filter(|statement| statement["Effect"] == "Allow");
        Ok(allowing.map(Permission::from_statement).collect())
    }

    pub async fn account_settings(&self) -> Answer<AccountSettings> {
        self.get("lambda:GetAccountSettings", "lambda", "/2016-08-19/account-settings").await
    }

    /// Invokes a function with an empty object, and waits for its result.
    pub async fn invoke(&self, name: &str) -> Answer<Invocation> {
        let path = format!("/2015-03-31/functions/{}/invocations", segment(name));
        let headers = [("content-type", "application/json")];
        let body = b"{}".to_vec();
        let response =
            self.send("lambda:InvokeFunction", "lambda", Method::POST, &path, &headers, body).await?;
        let has_failed = response.headers.contains_key("x-amz-function-error");
        Ok(Invocation { has_failed, payload: response.body.to_vec() })
    }
}

impl Permission {
    /// Reads a statement of a policy.
    pub fn from_statement(statement: &Value) -> Self {
        let one = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let principal = &statement["Principal"];
        let named = ["Service", "AWS"].into_iter().find_map(|kind| principal[kind].as_str());
        let mut permission = Self {
            principal: named.map_or_else(|| one(principal), str::to_owned),
            action: one(&statement["Action"]),
            ..Self::default()
        };
        let conditions = statement["Condition"].as_object().into_iter().flatten();
        for (key, value) in conditions.filter_map(|(_, keys)| keys.as_object()).flatten() {
            match key.to_ascii_lowercase().as_str() {
                "aws:sourcearn" => permission.source_arn = Some(one(value)),
                "lambda:functionurlauthtype" => permission.url_auth_type = Some(one(value)),
                "lambda:invokedviafunctionurl" => {
                    permission.via_url_only = value == "true" || value == &Value::Bool(true);
                }
                _ => permission.has_other_conditions = true,
            }
        }
        permission
    }
}
