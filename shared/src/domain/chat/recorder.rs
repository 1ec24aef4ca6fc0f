//! Sends an answer to its client and saves it: at most once a second while it is written, and once
//! at its end.
//!
//! A message is sent as done only after it is saved. Whatever stops this process, the thread then
//! holds every message that a client has received as done, and the rest as a draft.

use std::{mem, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use serde_json::Value;
use uuid::Uuid;

use super::{
    protocol::{ItemContent, ThreadItem, ThreadStreamEvent},
    store::{AppendChatRunCall, Appended, ChatStore, FinishChatRunCall, LEASE_SECONDS, RunStatus},
    turn::{HiddenItem, TurnOutput},
};
use crate::{
    clients::model::Usage,
    error::{Error, ErrorCode},
    platform::{event_stream::EventSender, http_client::Deadline, telemetry},
};

/// Time for saving before the lease may expire.
const SAVE_TIMEOUT: Duration = Duration::from_secs(LEASE_SECONDS as u64 - 3);

/// The events and items of one run.
pub(super) struct Recorder {
    store: ChatStore,
    run_id: Uuid,
    sender: EventSender,
    chunk_seq: u32,
    /// Events since the last save, sent or held.
    events: Vec<Value>,
    /// Items since the last save.
    items: Vec<Value>,
    /// Events that wait for a save: the end of a message, and what follows it.
    held: Vec<ThreadStreamEvent>,
    /// The save that is under way.
    saving: Option<Saving>,
}

struct Saving {
    outcome: BoxFuture<'static, Result<Appended, Error>>,
    /// Number of held events that it covers.
    held: usize,
}

impl Recorder {
    pub fn new(store: ChatStore, run_id: Uuid, sender: EventSender) -> Self {
        Self {
            store,
            run_id,
            sender,
            chunk_seq: 0,
            events: Vec::new(),
            items: Vec::new(),
            held: Vec::new(),
            saving: None,
        }
    }

    /// Sends an event, or holds it behind a message that is not saved.
    pub fn send(&mut self, event: ThreadStreamEvent) -> Result<(), Error> {
        self.events.push(to_value(&event)?);
        if self.held.is_empty() {
            return self.sender.send(&event);
        }
        self.held.push(event);
        Ok(())
    }

    /// Takes what the turn yields.
    pub fn push(&mut self, output: TurnOutput) -> Result<(), Error> {
        match output {
            TurnOutput::Event(event) => {
                if matches!(event, ThreadStreamEvent::ItemUpdated { .. }) {
                    telemetry::record_first_token();
                }
                self.send(event)
            }
            TurnOutput::Item(item) => self.finish_item(item),
            TurnOutput::Hidden(HiddenItem { kind, mut item, .. }) => {
                item["type"] = kind.into();
                self.items.push(item);
                Ok(())
            }
        }
    }

    /// Saves an item with the next save, and sends it as done. The steps of the reasoning are not a
    /// message, so their end does not wait.
    fn finish_item(&mut self, item: ThreadItem) -> Result<(), Error> {
        self.items.push(to_value(&item)?);
        let waits = !matches!(item.content, ItemContent::Workflow { .. });
        let event = ThreadStreamEvent::ItemDone { item };
        if !waits {
            return self.send(event);
        }
        self.events.push(to_value(&event)?);
        self.held.push(event);
        Ok(())
    }

    pub fn is_saving(&self) -> bool {
        self.saving.is_some()
    }

    /// Begins to save, and renews the lease. The draft is what the thread gets if the process
    /// stops.
    pub fn save(&mut self, draft: &[ThreadItem]) -> Result<(), Error> {
        self.save_counted(draft, None)
    }

    fn save_counted(&mut self, draft: &[ThreadItem], counted_tokens: Option<u64>) -> Result<(), Error> {
        self.chunk_seq += 1;
        let call = AppendChatRunCall {
            p_run_id: self.run_id,
            p_chunk_seq: self.chunk_seq,
            p_events: mem::take(&mut self.events),
            p_items: mem::take(&mut self.items),
            p_draft: draft.iter().map(to_value).collect::<Result<_, _>>()?,
            p_lease_seconds: LEASE_SECONDS,
            p_counted_tokens: counted_tokens,
        };
        let store = self.store.clone();
        let outcome = async move { store.append(&call, Deadline::after(SAVE_TIMEOUT)).await }.boxed();
        self.saving = Some(Saving { outcome, held: self.held.len() });
        Ok(())
    }

    /// Saves everything so far, and waits until it is saved. Charges the run for the tokens that
    /// the model has counted. Returns whether the answer must stop, or has no tokens left.
    ///
    /// # Errors
    /// Fails if the run has ended, or if it could not be saved before its lease expires.
    pub async fn flush(
        &mut self,
        draft: &[ThreadItem],
        counted_tokens: Option<u64>,
    ) -> Result<Appended, Error> {
        let stop = self.is_saving() && self.saved().await?.stop;
        self.save_counted(draft, counted_tokens)?;
        let saved = self.saved().await?;
        Ok(Appended { stop: stop || saved.stop, ..saved })
    }

    /// Waits for the save that is under way, and sends what waited for it. Returns whether the
    /// answer must stop. Never resolves without a save.
    ///
    /// This function is cancel safe.
    ///
    /// # Errors
    /// Fails if the run has ended, or if it could not be saved before its lease expires.
    pub async fn saved(&mut self) -> Result<Appended, Error> {
        let Some(saving) = &mut self.saving else {
            return std::future::pending().await;
        };
        let outcome = (&mut saving.outcome).await;
        let held = saving.held;
        self.saving = None;
        let appended = outcome?;
        if !appended.running {
            return Err(Error::new(ErrorCode::StillRunning).cause("the lease of the run has expired"));
        }
        for event in self.held.drain(..held) {
            self.sender.send(&event)?;
        }
        Ok(appended)
    }

    /// Ends the run: saves the rest, then sends it.
    ///
    /// # Errors
    /// Fails if the run has ended, or if it could not be saved before its lease expires.
    pub async fn finish(
        mut self,
        status: RunStatus,
        usage: Option<Usage>,
        input_bytes: u64,
        error_code: Option<&'static str>,
    ) -> Result<(), Error> {
        if self.is_saving() {
            self.saved().await?;
        }
        if let Some(usage) = usage {
            telemetry::record_tokens(usage.input_tokens, usage.output_tokens);
        }
        let call = FinishChatRunCall {
            p_run_id: self.run_id,
            p_status: status,
            p_chunk_seq: self.chunk_seq + 1,
            p_events: mem::take(&mut self.events),
            p_items: mem::take(&mut self.items),
            p_input_bytes: Some(input_bytes),
            p_input_tokens: usage.map(|usage| usage.input_tokens),
            p_output_tokens: usage.map(|usage| usage.output_tokens),
            p_error_code: error_code,
        };
        let finished = self.store.finish(&call, Deadline::after(SAVE_TIMEOUT)).await?;
        if !finished.finished {
            return Err(Error::new(ErrorCode::StillRunning).cause("the lease of the run has expired"));
        }
        for event in self.held.drain(..) {
            self.sender.send(&event)?;
        }
        Ok(())
    }

    /// Takes what the turn yields at its end, and sends it when the run is finished.
    pub fn hold(&mut self, output: TurnOutput) -> Result<(), Error> {
        match output {
            TurnOutput::Event(event) => {
                self.events.push(to_value(&event)?);
                self.held.push(event);
                Ok(())
            }
            other => self.push(other),
        }
    }
}

fn to_value<T: serde::Serialize>(value: &T) -> Result<Value, Error> {
    serde_json::to_value(value).map_err(|error| Error::new(ErrorCode::Internal).cause(error))
}
