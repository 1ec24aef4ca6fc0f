//! Cards of held calls.

mod clicks;
mod content;
mod continuing;
mod outcomes;
mod protocol;
mod secrets;

use anyhow::{Context, Result, ensure};
use local_stack::chat_client::{ChatClient, ThreadView};
use local_stack::model::Script;
use serde_json::{Value, json};

use super::fixture::{ToolPage, output, pay, tasks};
use crate::chat::fixture::text;

/// A call that is held, with its card in the thread.
pub struct HeldCall<'t, 's> {
    pub tools: &'t ToolPage<'s>,
    pub thread_id: String,
    pub card_id: String,
    /// The thread as the page shows it after the answer.
    pub view: ThreadView,
}

impl<'t, 's> HeldCall<'t, 's> {
    /// Asks for a payment, which is held.
    pub async fn new(tools: &'t ToolPage<'s>) -> Result<Self> {
        Self::of(tools, pay(42, 900)).await
    }

    /// Asks for the call of a script, which is held.
    pub async fn of(tools: &'t ToolPage<'s>, call: Script) -> Result<Self> {
        tools.stack.model().script(call);
        tools.stack.model().script(Script::new().text("It waits."));
        let view = tools.ask("Pay invoice 42").await?;
        ensure!(view.answer() == "It waits." && view.unfinished().is_empty(), "{view:#?}");
        ensure!(tasks(&view) == ["Waits for a decision."], "{view:#?}");
        ensure!(output(&tools.last_input()?)?.starts_with(r#"{"status":"held"}"#));
        let kinds: Vec<_> = view.items().iter().map(|item| text(&item["type"])).collect();
        ensure!(kinds == ["user_message", "task", "widget", "assistant_message"], "{kinds:?}");
        let (thread_id, card_id) = (text(&view.thread["id"]), text(&view.items()[2]["id"]));
        ensure!(tools.page.chat.items(&thread_id).await? == view.items(), "the stream and the store differ");
        Ok(Self { tools, thread_id, card_id, view })
    }

    /// The cards of the thread as they are now.
    pub async fn cards(&self) -> Result<Vec<Value>> {
        let items = self.tools.page.chat.items(&self.thread_id).await?;
        Ok(items.into_iter().filter(|item| item["type"] == "widget").collect())
    }

    /// The card as it is now.
    pub async fn card(&self) -> Result<Value> {
        let cards = self.cards().await?;
        cards.into_iter().find(|card| card["id"] == self.card_id.as_str()).context("no card")
    }

    /// The current text of the call's task.
    pub async fn task(&self) -> Result<String> {
        let items = self.tools.page.chat.items(&self.thread_id).await?;
        let task = items.iter().find(|item| item["type"] == "task").context("no task")?;
        Ok(text(&task["task"]["content"]))
    }

    pub fn params(&self, action: &Value) -> Value {
        json!({ "thread_id": self.thread_id, "item_id": self.card_id, "action": action })
    }

    /// Clicks a button as ChatKit.js does that answers with JSON, and returns the card.
    pub async fn click(&self, chat: &ChatClient, action: &Value) -> Result<Value> {
        let mut reply = chat.json("threads.sync_custom_action", self.params(action)).await?;
        ensure!(reply["updated_item"]["id"] == self.card_id.as_str(), "{reply:#}");
        Ok(reply["updated_item"].take())
    }

    /// Clicks a button whose answer is a stream.
    pub async fn click_streamed(&self, chat: &ChatClient, action: &Value) -> Result<Vec<Value>> {
        chat.stream("threads.custom_action", self.params(action)).await?.finish().await
    }

    /// Runs the dispatcher, which makes the calls that are due.
    pub async fn dispatch(&self) -> Result<Value> {
        self.tools.stack.run_job("route-events").await
    }
}

/// The labelled texts of a card.
pub fn fields(card: &Value) -> Vec<(String, String)> {
    let children = card["widget"]["children"].as_array().cloned().unwrap_or_default();
    let columns = children.iter().filter(|child| child["type"] == "Col");
    columns.map(|col| (text(&col["children"][0]["value"]), text(&col["children"][1]["value"]))).collect()
}

/// The text of a card under a label.
pub fn field(card: &Value, label: &str) -> Option<String> {
    fields(card).into_iter().find(|(other, _)| other == label).map(|(_, text)| text)
}

/// The buttons of a card: their labels, and their actions as ChatKit.js sends them.
pub fn buttons(card: &Value) -> Vec<(String, Value)> {
    let children = card["widget"]["children"].as_array().cloned().unwrap_or_default();
    let rows = children.iter().filter(|child| child["type"] == "Row");
    let buttons = rows.flat_map(|row| row["children"].as_array().cloned().unwrap_or_default());
    buttons
        .map(|button| {
            let action = &button["onClickAction"];
            (text(&button["label"]), json!({ "type": action["type"], "payload": action["payload"] }))
        })
        .collect()
}

pub fn labels(card: &Value) -> Vec<String> {
    buttons(card).into_iter().map(|(label, _)| label).collect()
}

/// The action of a button.
pub fn action(card: &Value, label: &str) -> Result<Value> {
    let found = buttons(card).into_iter().find(|(other, _)| other == label);
    Ok(found.with_context(|| format!("no button {label}: {card:#}"))?.1)
}

/// The last text of a card, which is where a reply in JSON has its notice.
pub fn last_text(card: &Value) -> String {
    let last = card["widget"]["children"].as_array().and_then(|children| children.last().cloned());
    last.filter(|last| last["type"] == "Text").map(|last| text(&last["value"])).unwrap_or_default()
}
