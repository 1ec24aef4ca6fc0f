//! OpenAI's own SDK takes the stand-in for OpenAI; and what it sends is written down, for our client to equal.

mod ours;
mod refusals;
mod retries;
mod sessions;
mod threads;
mod wire;

use crate::support::openai_sdk_driver::{Parsed, Raised, Sdk, SdkSettings};
use anyhow::{Context, Result};
use local_stack::openai::{ApiKey, Call, FakeOpenAi, On, Settings, Workflow};
use serde_json::Value;

pub const KEY: &str = "sk-proj-of-the-sdk";

pub async fn standin() -> Result<FakeOpenAi> {
    let key = ApiKey { key: KEY.to_owned(), project: Some("proj_1".to_owned()) };
    let versions = vec!["1".to_owned()];
    let workflow = Workflow { id: "wf_1".to_owned(), project: "proj_1".to_owned(), versions };
    FakeOpenAi::start(Settings { api_keys: vec![key], workflows: vec![workflow] }).await
}

pub async fn sdk(standin: &FakeOpenAi, api_key: &str, max_retries: u32) -> Result<Sdk> {
    let settings = SdkSettings {
        base_url: standin.base_url(),
        api_key: api_key.to_owned(),
        project: Some("proj_1".to_owned()),
        max_retries,
        timeout: 10.0,
    };
    let sdk = Sdk::start(&settings).await?;
    assert_eq!(sdk.version, "3.54.0");
    Ok(sdk)
}

/// The answer's fields, once nothing in it is more, less or other than in the SDK's types.
pub fn exact(answer: Result<Parsed, Raised>, class: &str) -> Result<Value> {
    let parsed = answer.map_err(|raised| anyhow::anyhow!("{raised:?}"))?;
    let nothing: [String; 0] = [];
    assert_eq!(
        (&parsed.surplus[..], &parsed.lacking[..], &parsed.wrong[..]),
        (&nothing[..], &nothing[..], &nothing[..])
    );
    assert_eq!(parsed.class, class);
    Ok(parsed.ok)
}

/// The SDK's type of a page leaves out two fields of the documented list.
pub fn page(answer: Result<Parsed, Raised>) -> Result<Value> {
    let mut parsed = answer.map_err(|raised| anyhow::anyhow!("{raised:?}"))?;
    parsed.surplus.sort();
    assert_eq!(
        (&parsed.surplus[..], parsed.lacking.len(), parsed.wrong.len()),
        (&[".first_id".to_owned(), ".object".to_owned()][..], 0, 0),
        "{parsed:?}"
    );
    assert!(parsed.class.starts_with("SyncConversationCursorPage"), "{}", parsed.class);
    Ok(parsed.ok)
}

pub fn last(standin: &FakeOpenAi, on: On) -> Result<Call> {
    standin.calls(on).pop().with_context(|| format!("{on:?} did not arrive"))
}
