//! The self-hosted chat: threads, and the answers that models write in them.

use super::calls::OutgoingCall;
use super::operations::{ChatOperation, people};
use super::registry::Policy;
use super::state::{Rejection, State, session_name};

/// The lease of an answer.
pub const RUN_LEASE: i64 = 45;

/// A conversation of the requester with the agents.
#[derive(Clone, Debug)]
pub struct Thread {
    pub agent: &'static str,
    /// Calls, their outputs and notes, which only the model receives.
    pub items: Vec<String>,
}

/// An answer that a model writes.
#[derive(Clone, Debug)]
pub struct Run {
    pub session: usize,
    pub thread: usize,
    pub agent: &'static str,
    pub status: RunStatus,
    pub stop_requested: bool,
    pub lease_until: i64,
    /// Number of its handovers to another agent.
    pub handovers: usize,
    /// Whether its process was killed. The database does not know it.
    pub killed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStatus {
    Running,
    Completed,
    Interrupted,
}

impl RunStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// The response to a step of the chat.
#[derive(Debug, Default)]
pub struct ChatResponse {
    pub outcome: Option<String>,
    pub sent: Option<OutgoingCall>,
    pub flag: Option<bool>,
}

impl ChatResponse {
    pub fn of(outcome: impl Into<String>) -> Self {
        Self { outcome: Some(outcome.into()), ..Self::default() }
    }
}

impl State {
    pub fn chat(&mut self, operation: &ChatOperation) -> Result<ChatResponse, Rejection> {
        match operation {
            ChatOperation::BeginRun { session, thread } => {
                self.begin_run(*session, *thread).map(ChatResponse::of)
            }
            ChatOperation::BeginCall { run, call, tool, inputs } => {
                self.begin_chat_call(*run, *call, tool, inputs)
            }
            ChatOperation::EndRun { run } => {
                let row = &mut self.runs[*run];
                if row.status == RunStatus::Running {
                    row.status = RunStatus::Completed;
                }
                let flag = Some(row.status == RunStatus::Completed);
                Ok(ChatResponse { flag, ..ChatResponse::default() })
            }
            ChatOperation::Kill { run } => {
                self.kill(*run);
                Ok(ChatResponse::default())
            }
            ChatOperation::SettleRuns => {
                for run in 0..self.runs.len() {
                    self.settle_run(run);
                }
                Ok(ChatResponse::default())
            }
        }
    }

    /// Begins an answer in a thread, or in a new one.
    fn begin_run(&mut self, session: usize, thread: Option<usize>) -> Result<String, Rejection> {
        let agent = self.sessions[session].agent;
        // The end of a session revokes its client secret.
        if self.sessions[session].ended {
            return Err(Rejection(401, "client_secret_rejected"));
        }
        if self.role(people::REQUESTER).is_none() {
            return Err(Rejection(403, "not_a_member"));
        }
        if !self.is_open(agent) {
            return Err(Rejection(403, "agent_forbidden"));
        }
        let thread = match thread {
            None => {
                self.threads.push(Thread { agent, items: Vec::new() });
                self.threads.len() - 1
            }
            Some(thread) => {
                for run in 0..self.runs.len() {
                    if self.runs[run].thread == thread {
                        self.settle_run(run);
                    }
                }
                if self.threads[thread].agent != agent {
                    return Err(Rejection(404, "thread_not_found"));
                }
                thread
            }
        };
        // A thread has one answer at a time.
        if self.stop_runs(|run| run.thread == thread) {
            self.cover("chat: busy");
            return Ok("busy".to_owned());
        }
        self.runs.push(Run {
            session,
            thread,
            agent,
            status: RunStatus::Running,
            stop_requested: false,
            lease_until: self.now + RUN_LEASE,
            handovers: 0,
            killed: false,
        });
        self.use_thread(session, thread);
        // Models are offered the tools with a description.
        let offered = self.agent(agent).into_iter().flat_map(|agent| &agent.server.tools);
        let offered: Vec<&str> = offered
            .filter(|tool| tool.is_described && tool.policy != Policy::Never)
            .map(|tool| tool.name)
            .collect();
        Ok(format!("begun with {}", offered.join(" ")))
    }

    /// Asks running answers to stop. Returns whether there are any.
    pub fn stop_runs(&mut self, condition: impl Fn(&Run) -> bool) -> bool {
        let mut found = false;
        for run in self.runs.iter_mut().filter(|run| run.status == RunStatus::Running && condition(run)) {
            run.stop_requested = true;
            found = true;
        }
        found
    }

    /// Ends an answer whose process has stopped.
    fn settle_run(&mut self, run: usize) {
        let row = &mut self.runs[run];
        if row.status == RunStatus::Running && row.lease_until <= self.now {
            row.status = RunStatus::Interrupted;
            self.cover("chat: interrupted");
        }
    }

    /// A process stops, so that its leases end.
    fn kill(&mut self, run: usize) {
        self.runs[run].killed = true;
        self.runs[run].lease_until = self.now;
        for delivery in 0..self.deliveries.len() {
            if self.is_in_turn(delivery) && self.deliveries[delivery].run() == Some(run) {
                self.deliveries[delivery].lease_until = Some(self.now);
                self.cover("chat: killed during a call");
            }
        }
    }

    fn use_thread(&mut self, session: usize, thread: usize) {
        let used = &mut self.sessions[session].threads;
        used.retain(|other| *other != thread);
        used.push(thread);
    }

    /// Moves a session for its agent. An answer that made the call goes on with the next agent.
    pub fn hand_over_by_agent(&mut self, session: usize, to: &'static str, run: Option<usize>) {
        let run = run.filter(|run| self.runs[*run].status == RunStatus::Running);
        let Some(run) = run else { return self.change_agent(session, to) };
        let stop_requested = self.runs[run].stop_requested;
        self.use_thread(session, self.runs[run].thread);
        self.change_agent(session, to);
        let row = &mut self.runs[run];
        (row.agent, row.stop_requested) = (to, stop_requested);
        row.handovers += 1;
        self.cover("chat: the answer goes on with another agent");
    }

    /// Moves a session to another agent, with the thread that it used last. Answers of the former
    /// agent stop.
    pub fn change_agent(&mut self, session: usize, to: &'static str) {
        let from = std::mem::replace(&mut self.sessions[session].agent, to);
        if from == to {
            return;
        }
        self.stop_runs(|run| run.session == session);
        let used = self.sessions[session].threads.last().copied();
        if let Some(thread) = used.filter(|thread| self.threads[*thread].agent == from) {
            self.threads[thread].agent = to;
            self.stop_runs(|run| run.thread == thread);
        }
    }

    /// Returns a line for each thread and each answer.
    pub fn chat_lines(&self) -> Vec<String> {
        let thread = |(place, row): (usize, &Thread)| {
            let mut items = row.items.clone();
            items.sort();
            format!("{}: with {}, items {}", thread_name(place), row.agent, items.join(", "))
        };
        let run = |(place, row): (usize, &Run)| {
            format!(
                "{}: {} of {} in {} {} stop requested {}",
                run_name(place),
                row.agent,
                session_name(row.session),
                thread_name(row.thread),
                row.status.name(),
                row.stop_requested,
            )
        };
        let threads = self.threads.iter().enumerate().map(thread);
        threads.chain(self.runs.iter().enumerate().map(run)).collect()
    }
}

pub fn thread_name(thread: usize) -> String {
    format!("thread {thread}")
}

pub fn run_name(run: usize) -> String {
    format!("run {run}")
}

/// The id of a model's call.
pub fn call_name(run: usize, call: usize) -> String {
    format!("call_{run}_{call}")
}
