//! Requests as ChatKit's clients send them, of every type: each is answered in a way that
//! openai-chatkit's types accept, or is refused with a problem.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::chat_client::ThreadView;
use serde_json::Value;
use shared::domain::chat::protocol::ChatRequest;

use super::exchange::Exchange;
use super::python::ProtocolTypes;
use crate::chat::fixture::ChatPage;
use crate::support::skip;

/// Rows of a name, a body and the expected answer. In a body, `@thread` is the first thread and
/// `@item:n` one of its items.
const REQUESTS: &str = include_str!("requests.json");

#[tokio::test]
async fn requests_of_every_type_are_answered_or_refused() -> Result<()> {
    skip::with_tools(async {
        let mut types = ProtocolTypes::start().await?;
        let stack = LocalStack::start().await?;
        let page = ChatPage::open(&stack).await?;
        let rows: Vec<Value> = serde_json::from_str(REQUESTS)?;
        let mut thread: Option<ThreadView> = None;
        for row in &rows {
            let mut body = row["body"].clone();
            if let Some(thread) = &thread {
                replace(&mut body, thread);
            }
            let exchange = Exchange::send_body(&page.chat, &body).await?;
            let found = match exchange.status {
                200 if exchange.is_streamed => "stream".to_owned(),
                200 => "json".to_owned(),
                _ => exchange.problem()?,
            };
            ensure!(row["expected"] == found.as_str(), "{row}: found {found} {exchange:#?}");
            if exchange.is_streamed {
                let events = exchange.events()?;
                ensure!(events.iter().all(|event| event["type"] != "error"), "{row}: {events:#?}");
                // Only requests after the first one refer to its thread.
                thread = thread.or(Some(ThreadView::from_events(&events)?));
            }
            types.check(&[exchange]).await.with_context(|| row.to_string())?;
        }
        let sent: BTreeSet<_> = rows.iter().filter_map(|row| row["body"]["type"].as_str()).collect();
        let missing: Vec<_> = ChatRequest::KINDS.into_iter().filter(|kind| !sent.contains(kind)).collect();
        ensure!(missing.is_empty(), "no request has the types {missing:?}");
        Ok(())
    })
    .await
}

fn replace(value: &mut Value, thread: &ThreadView) {
    match value {
        Value::String(text) => {
            let item = text.strip_prefix("@item:").and_then(|index| index.parse::<usize>().ok());
            if let Some(index) = item {
                *value = thread.items()[index]["id"].clone();
            } else if text == "@thread" {
                *value = thread.thread["id"].clone();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| replace(value, thread)),
        Value::Object(fields) => fields.values_mut().for_each(|value| replace(value, thread)),
        _ => {}
    }
}
