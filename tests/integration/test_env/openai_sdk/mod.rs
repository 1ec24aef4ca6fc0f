//! OpenAI's SDK against the fake of OpenAI, and its requests compared with those of the functions.

pub mod driver;
mod errors;
mod own_client;
mod requests;
mod retries;
mod sessions;
mod threads;

use anyhow::{Context, Result, anyhow};
use local_stack::openai::{ApiKey, FakeOpenAi, Operation, RecordedRequest, Settings, Workflow};
use serde_json::Value;

use driver::{Parsed, Sdk, SdkError, SdkSettings};

pub const KEY: &str = "sk-proj-of-the-sdk";

/// A fake of OpenAI with a key, a project and a workflow.
pub async fn start_fake() -> Result<FakeOpenAi> {
    let key = ApiKey { key: KEY.to_owned(), project: Some("proj_1".to_owned()) };
    let versions = vec!["1".to_owned()];
    let workflow = Workflow { id: "wf_1".to_owned(), project: "proj_1".to_owned(), versions };
    FakeOpenAi::start(Settings { api_keys: vec![key], workflows: vec![workflow] }).await
}

pub async fn sdk(fake: &FakeOpenAi, api_key: &str, max_retries: u32) -> Result<Sdk> {
    let settings = SdkSettings {
        base_url: fake.base_url(),
        api_key: api_key.to_owned(),
        project: Some("proj_1".to_owned()),
        max_retries,
        timeout: 10.0,
    };
    let sdk = Sdk::start(&settings).await?;
    assert_eq!(sdk.version, "3.54.0");
    Ok(sdk)
}

/// The fields of a response. Checks that they are exactly those of the SDK's type.
pub fn exact(response: Result<Parsed, SdkError>, class: &str) -> Result<Value> {
    let parsed = response.map_err(|error| anyhow!("{error:?}"))?;
    let Parsed { unknown, missing, invalid, .. } = &parsed;
    assert!(
        unknown.is_empty() && missing.is_empty() && invalid.is_empty(),
        "unknown {unknown:?}, missing {missing:?}, invalid {invalid:?}"
    );
    assert_eq!(parsed.class, class);
    Ok(parsed.ok)
}

/// The fields of a page. The SDK's type does not have two fields of the documented list.
pub fn page(response: Result<Parsed, SdkError>) -> Result<Value> {
    let mut parsed = response.map_err(|error| anyhow!("{error:?}"))?;
    parsed.unknown.sort();
    assert_eq!(parsed.unknown, [".first_id", ".object"], "{parsed:?}");
    assert!(parsed.missing.is_empty() && parsed.invalid.is_empty(), "{parsed:?}");
    assert!(parsed.class.starts_with("SyncConversationCursorPage"), "{}", parsed.class);
    Ok(parsed.ok)
}

/// The last request of this kind.
pub fn last(fake: &FakeOpenAi, on: Operation) -> Result<RecordedRequest> {
    fake.calls(on).pop().with_context(|| format!("the fake received no {on:?}"))
}
