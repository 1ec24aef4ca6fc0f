//! Calls of tools by models: deliveries that a turn begins and makes itself.

use serde_json::{Value, json};

use super::calls::{LEASE, SERVER_LEASE};
use super::chat::{ChatResponse, RunStatus, call_name, thread_name};
use super::operations::{ChatOperation, Operation};
use super::state::{Delivery, DeliveryStatus, EscalationStatus, Rejection, State};

/// The part of a delivery that a model's call has.
#[derive(Clone, Debug)]
pub struct ChatCall {
    pub run: usize,
    /// The number of the model's call. A delivery that resumes the call has none.
    pub call: Option<usize>,
    /// Whether the model had called a tool before, in the same turn.
    pub follows_tool_output: bool,
}

impl State {
    /// Returns whether a turn makes the call now. Such a call is not part of the session's queue.
    pub fn is_in_turn(&self, delivery: usize) -> bool {
        let row = &self.deliveries[delivery];
        row.status == DeliveryStatus::Running && row.chat.is_some() && !row.is_claimed
    }

    /// Returns whether a step repeats the request of a call that the database has.
    pub fn is_repeated_call(&self, operation: &Operation) -> bool {
        let Operation::Chat(ChatOperation::BeginCall { run, call, .. }) = operation else { return false };
        self.delivery_of_call(*run, *call).is_some()
    }

    pub fn delivery_of_call(&self, run: usize, call: usize) -> Option<usize> {
        let of = |row: &Delivery| row.run() == Some(run) && row.call() == Some(call);
        self.deliveries.iter().position(of)
    }

    pub fn begin_chat_call(
        &mut self,
        run: usize,
        call: usize,
        tool: &'static str,
        inputs: &Value,
    ) -> Result<ChatResponse, Rejection> {
        if let Some(delivery) = self.delivery_of_call(run, call) {
            self.cover("chat: call repeated");
            return Ok(self.call_response(delivery));
        }
        let row = self.runs[run].clone();
        if row.status != RunStatus::Running || row.stop_requested || self.sessions[row.session].ended {
            self.cover("chat: stopped");
            return Ok(ChatResponse::of("stopped"));
        }
        if let Some(error) = self.call_rejection(run, tool, inputs) {
            self.cover(if error == "call_under_way" { "chat: call_under_way" } else { "chat: not offered" });
            return Ok(ChatResponse::of(format!("refused {error}")));
        }
        if !inputs.is_object() {
            return Err(Rejection(422, "invalid_item"));
        }
        let payload = json!({
            "agentId": row.agent, "tool": tool, "callId": call_name(run, call),
            "threadId": thread_name(row.thread),
        });
        let event = self.append(row.session, "agent_call", payload, "agent", Some(row.agent.to_owned()));
        let follows_tool_output =
            self.deliveries.iter().any(|other| other.run() == Some(run) && other.fence > 0);
        self.deliver(event, row.agent, tool, 0, event);
        let delivery = self.deliveries.len() - 1;
        let new = &mut self.deliveries[delivery];
        new.inputs = Some(inputs.clone());
        new.chat = Some(ChatCall { run, call: Some(call), follows_tool_output });
        // Never pending, so that no dispatcher claims it.
        new.status = DeliveryStatus::Running;
        new.lease_until = Some(self.now + LEASE.min(SERVER_LEASE));
        self.threads[row.thread].items.push(format!("function_call {}", call_name(run, call)));
        self.begin(delivery, true);
        // The model learns of a refusal at once, so it is not a dead letter.
        if self.deliveries[delivery].status == DeliveryStatus::Dead {
            self.deliveries[delivery].status = DeliveryStatus::Withdrawn;
        }
        match self.deliveries[delivery].status {
            DeliveryStatus::Running => self.cover("chat: begun"),
            DeliveryStatus::Asked => {
                self.cover("chat: held");
                self.add_output(delivery, "held");
            }
            _ => {
                self.cover("chat: refused");
                self.add_output(delivery, "refused");
            }
        }
        Ok(self.call_response(delivery))
    }

    /// Returns why a turn may not begin a call, apart from the policy of the tool.
    fn call_rejection(&self, run: usize, tool: &str, inputs: &Value) -> Option<&'static str> {
        let row = &self.runs[run];
        let mut tools = self.agent(row.agent).into_iter().flat_map(|agent| &agent.server.tools);
        if !tools.any(|registered| registered.name == tool && registered.is_described) {
            return Some("tool_unavailable");
        }
        // A turn makes one call at a time. The same call is not begun a second time while a person
        // may still decide that it is made, or while its outcome is open.
        let of_thread = |of: usize| {
            let delivery = &self.deliveries[of];
            let run = delivery.run().map(|run| &self.runs[run]);
            run.is_some_and(|other| other.thread == row.thread)
        };
        let is_undecided = |of: usize| {
            let open = |status| status == EscalationStatus::Open;
            self.escalations.iter().any(|other| other.delivery == Some(of) && open(other.status))
        };
        let is_under_way = |of: usize| {
            let delivery = &self.deliveries[of];
            let is_same = delivery.agent == row.agent
                && delivery.tool == tool
                && delivery.inputs.as_ref() == Some(inputs);
            let is_open = match delivery.status {
                DeliveryStatus::Pending | DeliveryStatus::Running | DeliveryStatus::Asked => true,
                DeliveryStatus::Dead | DeliveryStatus::Unknown => is_undecided(of),
                _ => false,
            };
            (self.is_in_turn(of) && delivery.run() == Some(run)) || (is_same && is_open)
        };
        (0..self.deliveries.len()).any(|of| of_thread(of) && is_under_way(of)).then_some("call_under_way")
    }

    /// The turn makes the call under its lease. Otherwise it receives the output in the thread.
    fn call_response(&self, delivery: usize) -> ChatResponse {
        let row = &self.deliveries[delivery];
        let mut tools = self.agent(row.agent).into_iter().flat_map(|agent| &agent.server.tools);
        let is_listed = tools.any(|tool| tool.name == row.tool);
        let is_leased = self.is_in_turn(delivery) && row.lease_until.is_some_and(|end| end > self.now);
        if is_leased && is_listed {
            return ChatResponse { sent: Some(self.sent(delivery)), ..ChatResponse::of("begun") };
        }
        ChatResponse::of(match &self.output_of(delivery)[..] {
            ["held"] => "held".to_owned(),
            ["refused", error] => format!("refused {error}"),
            [status, ..] => format!("ended {status}"),
            [] => "ended unknown".to_owned(),
        })
    }

    /// Returns the status and the error of a call's output. Empty without an output.
    fn output_of(&self, delivery: usize) -> Vec<&str> {
        let row = &self.deliveries[delivery];
        let Some(ChatCall { run, call: Some(call), .. }) = row.chat else { return Vec::new() };
        let begin = ["function_call_output", &call_name(run, call), row.tool, ""].join(" ");
        let mut items = self.threads[self.runs[run].thread].items.iter();
        let rest = items.find_map(|item| item.strip_prefix(&begin));
        rest.into_iter().flat_map(|rest| rest.split(' ')).collect()
    }

    /// A dispatcher takes over the calls of turns whose process has stopped.
    pub fn take_over(&mut self, session: usize) {
        let is_abandoned = |of: &usize| {
            let row = &self.deliveries[*of];
            row.session == session
                && self.is_in_turn(*of)
                && row.lease_until.is_some_and(|end| end <= self.now)
        };
        let mut abandoned: Vec<usize> = (0..self.deliveries.len()).filter(is_abandoned).collect();
        abandoned.sort_by_key(|of| self.deliveries[*of].place);
        for delivery in abandoned {
            if self.may_repeat(delivery) {
                self.cover("chat: taken over, called again");
                let (now, place) = (self.now, self.next_place(session));
                let row = &mut self.deliveries[delivery];
                (row.status, row.lease_until, row.is_claimed) = (DeliveryStatus::Pending, None, true);
                (row.due_at, row.place) = (now, place);
            } else {
                self.cover("chat: taken over, outcome unknown");
                self.mark_outcome_unknown(delivery, "lease_over");
                self.add_note(delivery);
            }
        }
    }

    /// Adds the result of a finished call to its thread: as the call's output if its turn made it,
    /// otherwise as a note.
    pub fn add_result(&mut self, delivery: usize, was_in_turn: bool) {
        let status = self.deliveries[delivery].status;
        if was_in_turn {
            self.add_output(delivery, status_for_model(status));
        } else if !matches!(status, DeliveryStatus::Pending | DeliveryStatus::Unknown) {
            self.add_note(delivery);
        }
    }

    /// Adds a note about a call that is closed without a result.
    pub fn note_closed_call(&mut self, delivery: usize, before: DeliveryStatus, was_in_turn: bool) {
        let status = self.deliveries[delivery].status;
        let is_closed =
            matches!(status, DeliveryStatus::Dead | DeliveryStatus::Unknown | DeliveryStatus::Withdrawn);
        let is_noted = match before {
            DeliveryStatus::Pending | DeliveryStatus::Asked => true,
            DeliveryStatus::Running => status == DeliveryStatus::Unknown && !was_in_turn,
            _ => false,
        };
        if is_closed && is_noted {
            self.add_note(delivery);
        }
    }

    fn add_output(&mut self, delivery: usize, status: &str) {
        let row = &self.deliveries[delivery];
        let Some(ChatCall { run, call: Some(call), .. }) = row.chat else { return };
        let words = ["function_call_output", &call_name(run, call), row.tool, status].join(" ");
        self.add_item(delivery, words);
    }

    pub fn add_note(&mut self, delivery: usize) {
        let row = &self.deliveries[delivery];
        if row.chat.is_some() {
            let words = ["hidden_context_item", row.tool, status_for_model(row.status)].join(" ");
            self.cover("chat: note about a call");
            self.add_item(delivery, words);
        }
    }

    fn add_item(&mut self, delivery: usize, words: String) {
        let row = &self.deliveries[delivery];
        let Some(run) = row.run() else { return };
        let thread = self.runs[run].thread;
        let item = row.error.map_or_else(|| words.clone(), |error| format!("{words} {error}"));
        self.threads[thread].items.push(item);
    }
}

impl Delivery {
    pub fn run(&self) -> Option<usize> {
        self.chat.as_ref().map(|chat| chat.run)
    }

    pub fn call(&self) -> Option<usize> {
        self.chat.as_ref().and_then(|chat| chat.call)
    }
}

/// Returns what a model receives as the status of a call.
fn status_for_model(status: DeliveryStatus) -> &'static str {
    match status {
        DeliveryStatus::Done => "completed",
        DeliveryStatus::Asked => "held",
        DeliveryStatus::Dead | DeliveryStatus::Withdrawn => "failed",
        _ => "unknown",
    }
}
