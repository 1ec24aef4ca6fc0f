//! Generated conversations. openai-chatkit's types parse every byte of them, and a client that
//! applied their streams shows what the server lists.
//!
//! `cargo conversations` holds 2,000 of them.

use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use local_stack::LocalStack;
use local_stack::model::Quirk;
use tokio::sync::Mutex;

use super::conversation::Conversation;
use super::plan::SERVERS;
use super::python::ProtocolTypes;
use crate::support::skip;

const COUNT: usize = 60;
const SEED: u64 = 20_261_127;
/// Conversations at the same time.
const CONCURRENCY: usize = 6;

#[tokio::test]
async fn generated_conversations_follow_the_protocol() -> Result<()> {
    skip::with_tools(async {
        let count = variable("CHAT_CONVERSATIONS")?.unwrap_or(COUNT);
        let seed = variable("CHAT_SEED")?.unwrap_or(SEED);
        let types = Mutex::new(ProtocolTypes::start().await?);
        let stack = LocalStack::start().await?;
        let (mut exchanges, mut streams, mut broken_answers) = (0, 0, 0);
        for (server, quirks) in SERVERS.iter().enumerate() {
            stack.model().set_quirks(quirks.iter().copied());
            let has_annotations = !quirks.contains(&Quirk::NoAnnotations);
            let numbers = (0..count).filter(|number| number % SERVERS.len() == server);
            let conversations = stream::iter(numbers).map(|number| {
                let (stack, types) = (&stack, &types);
                async move {
                    let name = format!("{seed}-{number}");
                    let held = async {
                        let mut conversation =
                            Conversation::open(stack, name, seed + number as u64, has_annotations).await?;
                        let exchanges = conversation.hold().await?;
                        types.lock().await.check(&exchanges).await?;
                        anyhow::Ok((exchanges, conversation.broken_answers))
                    };
                    held.await.with_context(|| format!("CHAT_SEED={seed}, conversation {number}, {quirks:?}"))
                }
            });
            let held: Vec<_> = conversations.buffer_unordered(CONCURRENCY).try_collect().await?;
            for (conversation, broken) in held {
                exchanges += conversation.len();
                streams += conversation.iter().filter(|exchange| exchange.is_streamed).count();
                broken_answers += broken;
            }
        }
        println!(
            "{count} conversations: {exchanges} requests, {streams} streams, {broken_answers} broken answers"
        );
        // A generator that breaks all answers, or none, would not test what it claims.
        ensure!(
            broken_answers * 10 > streams && broken_answers * 10 < streams * 7,
            "{broken_answers} of {streams}"
        );
        Ok(())
    })
    .await
}

fn variable<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(name: &str) -> Result<Option<T>> {
    let value = std::env::var(name).ok();
    value.map(|value| value.parse().with_context(|| format!("parsing {name}"))).transpose()
}
