//! Generates random histories. Themes make rare cases more frequent.

use fastrand::Rng;

use super::chat_steps::chat_step;
use super::operations::{Ask, Choice, EventInput, Membership, Operation, Outcome, QuotedHash, Setup, people};
use super::payloads::{edited, payload};
use super::rare_cases::rare_step;
use super::registrations::{agents, invalid_server, roles_or_all, server};
use super::registry::Role;
use super::state::{DeliveryStatus, Escalation, EscalationKind, EscalationStatus, State};

/// The focus of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    Anything,
    /// Amounts, and daily totals.
    Totals,
    Edits,
    /// Requests of agents for decisions.
    Asks,
    /// Confirmations by the requester.
    Confirms,
    /// Follow-ups between agents.
    FollowUps,
    /// Users whose role or membership changes.
    People,
    /// Escalations that pages open.
    Pages,
    /// Expired leases and failing servers.
    Leases,
    /// Answers of models in the self-hosted chat, which call tools.
    Chats,
}

impl Theme {
    pub fn any(rng: &mut Rng) -> Self {
        let all = [
            Self::Anything,
            Self::Anything,
            Self::Totals,
            Self::Edits,
            Self::Asks,
            Self::Asks,
            Self::Confirms,
            Self::FollowUps,
            Self::FollowUps,
            Self::People,
            Self::Pages,
            Self::Leases,
            Self::Leases,
            Self::Chats,
            Self::Chats,
            Self::Chats,
            Self::Chats,
            Self::Chats,
        ];
        all[rng.usize(..all.len())]
    }

    /// Maximum number of steps.
    pub fn steps(self, rng: &mut Rng) -> usize {
        match self {
            Self::Edits | Self::Asks => rng.usize(12..26),
            Self::FollowUps => rng.usize(22..40),
            Self::Chats => rng.usize(14..36),
            Self::Pages => rng.usize(4..12),
            _ => rng.usize(8..22),
        }
    }
}

pub fn choose<T: Clone>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())].clone()
}

/// Returns true with a probability of `percent`.
pub fn chance(rng: &mut Rng, percent: u32) -> bool {
    rng.u32(..100) < percent
}

pub fn setup(rng: &mut Rng, theme: Theme) -> Setup {
    let approving = [Role::Owner, Role::Admin, Role::Approver];
    let mut roles = [Role::Member; people::COUNT];
    if chance(rng, 40) {
        roles[people::REQUESTER] = choose(rng, &approving);
    }
    roles[1] = choose(rng, &approving);
    let several = theme == Theme::Edits || !chance(rng, 15);
    if several {
        roles[2] = choose(rng, &approving);
        roles[3] = if chance(rng, 40) { choose(rng, &approving) } else { Role::Member };
    }
    roles[people::STRANGER] = Role::Owner;
    let metadata = || serde_json::json!({ "locale": "en", "case": { "no": 7 } });
    let sessions = if theme == Theme::Totals || chance(rng, if theme == Theme::Chats { 40 } else { 25 }) {
        2
    } else {
        1
    };
    Setup { roles, agents: agents(rng, theme), sessions: (0..sessions).map(|_| metadata()).collect() }
}

pub fn operation(rng: &mut Rng, theme: Theme, state: &State) -> Operation {
    let open = |escalation: &Escalation| escalation.status == EscalationStatus::Open;
    let has = |status: DeliveryStatus| state.deliveries.iter().any(|delivery| delivery.status == status);
    let any_open = state.escalations.iter().any(open);
    let dead = has(DeliveryStatus::Dead) || has(DeliveryStatus::Unknown);
    let calm = matches!(theme, Theme::Edits | Theme::FollowUps);
    let people = if theme == Theme::People {
        25
    } else if calm {
        1
    } else {
        4
    };
    let register = if theme == Theme::Totals {
        10
    } else if calm {
        1
    } else {
        4
    };
    let pass = if theme == Theme::Leases { 35 } else { 6 };
    let end = if theme == Theme::FollowUps && has(DeliveryStatus::Running) { 4 } else { 1 };
    let weights = [
        if has(DeliveryStatus::Pending) || has(DeliveryStatus::Running) {
            if calm { 2 } else { 8 }
        } else {
            30
        },
        if has(DeliveryStatus::Pending) { 45 } else { 3 },
        if has(DeliveryStatus::Running) { 45 } else { 1 },
        if any_open { 60 } else { 3 },
        if dead { if theme == Theme::Leases { 30 } else { 6 } } else { 1 },
        register,
        if calm { 1 } else { 2 },
        people,
        end,
        if any_open || dead || has(DeliveryStatus::Running) { pass } else { 2 },
        if any_open { 3 } else { 1 },
    ];
    if let Some(step) = rare_step(rng, theme, state).or_else(|| chat_step(rng, theme, state)) {
        return step;
    }
    let mut rest = rng.u32(..weights.iter().sum::<u32>());
    let mut kind = 0;
    while rest >= weights[kind] {
        rest -= weights[kind];
        kind += 1;
    }
    match kind {
        0 => record(rng, theme, state),
        2 if !state.deliveries.is_empty() => finish(rng, theme, state),
        3 if any_open && chance(rng, 15) => {
            let escalation = escalation(rng, state);
            let session = state.escalations[escalation].session;
            let events =
                vec![EventInput::Resolve { escalation, choice: choice(rng, theme, state, escalation) }];
            Operation::Record { session, person: people::REQUESTER, events }
        }
        3 if !state.escalations.is_empty() => decide(rng, theme, state),
        4 if !state.deliveries.is_empty() => {
            let dead = |of: &usize| {
                matches!(state.deliveries[*of].status, DeliveryStatus::Dead | DeliveryStatus::Unknown)
            };
            let delivery = pick(rng, state.deliveries.len(), 90, dead);
            Operation::Replay { delivery, foreign: chance(rng, 8) }
        }
        5 => {
            let agent = rng.usize(..2);
            let server = if chance(rng, 15) { invalid_server(rng, agent) } else { server(rng, theme, agent) };
            Operation::Register { agent, server }
        }
        6 => {
            let agent = rng.usize(..2);
            Operation::Change { agent, enabled: chance(rng, 75), allowed_org_roles: roles_or_all(rng, 50) }
        }
        7 => membership(rng, state),
        8 => Operation::End { session: rng.usize(..state.sessions.len()) },
        9 => advance(rng, state),
        10 => Operation::Expire,
        _ => Operation::Claim,
    }
}

/// Returns an index, mostly one that is preferred.
fn pick(rng: &mut Rng, count: usize, percent: u32, preferred: impl Fn(&usize) -> bool) -> usize {
    let preferred: Vec<usize> = (0..count).filter(preferred).collect();
    if preferred.is_empty() || !chance(rng, percent) { rng.usize(..count) } else { choose(rng, &preferred) }
}

fn record(rng: &mut Rng, theme: Theme, state: &State) -> Operation {
    let session = rng.usize(..state.sessions.len());
    let person = if chance(rng, 3) { rng.usize(..people::COUNT) } else { people::REQUESTER };
    let open = state.escalations.iter().any(|escalation| escalation.status == EscalationStatus::Open);
    let pages = if theme == Theme::Pages { 60 } else { 4 };
    let event_input = |rng: &mut Rng| {
        if open && chance(rng, 25) {
            let escalation = escalation(rng, state);
            return EventInput::Resolve { escalation, choice: choice(rng, theme, state, escalation) };
        }
        match rng.u32(..100) {
            0..2 => EventInput::Reserved,
            2..9 => {
                let from = if chance(rng, 50) { Some(choose(rng, &["alpha", "beta"])) } else { None };
                EventInput::Handover { to: choose(rng, &["alpha", "beta", "beta", "gamma"]), from }
            }
            rest if rest < 9 + pages => page(rng),
            _ => EventInput::Click { payload: payload(rng, theme, state) },
        }
    };
    let events = match theme {
        Theme::Pages if chance(rng, 45) => (0..20).map(|_| page(rng)).collect(),
        Theme::Totals => (0..rng.usize(1..5)).map(|_| event_input(rng)).collect(),
        _ => (0..if chance(rng, 80) { 1 } else { 2 }).map(|_| event_input(rng)).collect(),
    };
    Operation::Record { session, person, events }
}

fn page(rng: &mut Rng) -> EventInput {
    let decisions = choose(rng, &[vec!["approve", "reject"], vec!["respond"], vec!["approve", "edit"]]);
    EventInput::Escalation { decisions, seconds: choose(rng, &[None, Some(600), Some(3600)]) }
}

pub fn finish(rng: &mut Rng, theme: Theme, state: &State) -> Operation {
    let running = |of: &usize| state.deliveries[*of].status == DeliveryStatus::Running;
    let delivery = pick(rng, state.deliveries.len(), 96, running);
    let work = |rng: &mut Rng| {
        let inputs = if chance(rng, 70) { Some(payload(rng, theme, state)) } else { None };
        let agent = if chance(rng, if theme == Theme::FollowUps { 92 } else { 75 }) {
            "beta"
        } else {
            choose(rng, &["beta", "alpha", "gamma"])
        };
        (agent, inputs)
    };
    let (completed, asks) = match theme {
        Theme::FollowUps => (94, 2),
        Theme::Leases => (15, 15),
        Theme::Asks => (15, 70),
        _ => (45, 20),
    };
    let outcome = match rng.u32(..100) {
        rest if rest < completed => {
            let many = if theme == Theme::FollowUps {
                1 + usize::from(chance(rng, 15))
            } else {
                usize::from(chance(rng, 15))
            };
            let handover = if chance(rng, if theme == Theme::FollowUps { 3 } else { 12 }) {
                Some(choose(rng, &["alpha", "beta", "gamma"]))
            } else {
                None
            };
            Outcome::Completed { follow_ups: (0..many).map(|_| work(rng)).collect(), handover }
        }
        rest if rest < completed + asks => Outcome::Ask(ask(rng)),
        // A turn tries again by itself.
        _ if state.is_in_turn(delivery) => choose(rng, &[Outcome::Failed, Outcome::Unknown]),
        _ => choose(rng, &[Outcome::Failed, Outcome::Retry, Outcome::Unknown]),
    };
    Operation::Finish { delivery, outcome, stale: chance(rng, 4) }
}

fn ask(rng: &mut Rng) -> Ask {
    Ask {
        decisions: choose(
            rng,
            &[
                vec!["approve", "reject"],
                vec!["approve", "respond"],
                vec!["approve", "edit", "reject", "respond"],
                vec!["respond"],
            ],
        ),
        schema: chance(rng, 50),
        seconds: choose(rng, &[None, Some(600), Some(7200), Some(864_000)]),
        risk: choose(rng, &[None, None, Some("low"), Some("medium"), Some("high")]),
        approver: choose(rng, &[None, None, Some("self"), Some("other")]),
        state: chance(rng, 30),
    }
}

fn escalation(rng: &mut Rng, state: &State) -> usize {
    let open = |of: &usize| state.escalations[*of].status == EscalationStatus::Open;
    pick(rng, state.escalations.len(), 85, open)
}

fn decide(rng: &mut Rng, theme: Theme, state: &State) -> Operation {
    let escalation = escalation(rng, state);
    let escalation_row = &state.escalations[escalation];
    if escalation_row.status == EscalationStatus::Resolved && chance(rng, 40) {
        // Repeats the same decision.
        let (person, decision) =
            (escalation_row.decided_by.unwrap_or_default(), escalation_row.decision.unwrap_or("approve"));
        let choice = Choice { decision, answer: escalation_row.answer.clone(), hash: QuotedHash::Shown };
        return Operation::Decide { person, escalation, choice };
    }
    let may_decide = |person: &usize| {
        let may = state.role(*person).is_some_and(Role::approves);
        match escalation_row.kind {
            EscalationKind::Confirm => *person == people::REQUESTER,
            _ => may && *person != people::REQUESTER && escalation_row.author != Some(*person),
        }
    };
    let person = match rng.u32(..100) {
        0..12 => people::REQUESTER,
        12..20 => escalation_row.author.unwrap_or(people::REQUESTER),
        20..50 if escalation_row.kind == EscalationKind::Confirm => 1,
        _ => pick(rng, people::COUNT, if theme == Theme::Edits { 97 } else { 85 }, may_decide),
    };
    Operation::Decide { person, escalation, choice: choice(rng, theme, state, escalation) }
}

fn choice(rng: &mut Rng, theme: Theme, state: &State, escalation: usize) -> Choice {
    let escalation_row = &state.escalations[escalation];
    let decision = if theme == Theme::Edits && escalation_row.decisions.contains(&"edit") && chance(rng, 93) {
        "edit"
    } else if chance(rng, 88) {
        choose(rng, &escalation_row.decisions)
    } else {
        choose(rng, &["approve", "edit", "reject", "respond"])
    };
    let odd = choose(rng, &[serde_json::json!("yes"), serde_json::json!([1]), serde_json::json!(7)]);
    let answer = match decision {
        "edit" if chance(rng, 85) => Some(escalation_row.delivery.map_or_else(
            || serde_json::json!({ "note": "none" }),
            |delivery| edited(rng, theme, state, delivery),
        )),
        "edit" if chance(rng, 75) => Some(odd),
        "respond" if chance(rng, 90) => Some(serde_json::json!({ "text": "Take the other account" })),
        "approve" | "reject" if chance(rng, 20) => Some(serde_json::json!({ "note": "as discussed" })),
        _ => None,
    };
    let hash = match rng.u32(..100) {
        0..3 => QuotedHash::Wrong,
        3..5 => QuotedHash::Missing,
        _ => QuotedHash::Shown,
    };
    Choice { decision, answer, hash }
}

fn membership(rng: &mut Rng, state: &State) -> Operation {
    let changed = |of: &usize| state.people[*of].membership != Membership::Restored;
    if (0..people::STRANGER).any(|person| changed(&person)) && chance(rng, 45) {
        let person = pick(rng, people::STRANGER, 100, changed);
        return Operation::Person { person, change: Membership::Restored };
    }
    // Prefers users who have decided something.
    let involved = |of: &usize| {
        *of == people::REQUESTER
            || state.escalations.iter().any(|escalation| escalation.decided_by == Some(*of))
    };
    let person = pick(rng, people::STRANGER, 70, involved);
    let changes = [
        Membership::Role(choose(rng, &Role::ALL)),
        Membership::Role(choose(rng, &Role::ALL)),
        Membership::Dismissed,
        Membership::Banned,
        Membership::Deleted,
        Membership::Anonymous,
    ];
    Operation::Person { person, change: choose(rng, &changes) }
}

/// Advances the clock, but not close to a due time, because the database's clock runs during the
/// test.
pub fn advance(rng: &mut Rng, state: &State) -> Operation {
    let seconds = choose(rng, &[120, 720, 720, 4020, 90_000]);
    let later = state.now + seconds;
    let ends = state.escalations.iter().filter_map(|escalation| escalation.expires_at);
    let due = state.deliveries.iter().flat_map(|delivery| [Some(delivery.due_at), delivery.lease_until]);
    let counted = state.auto_calls.iter().map(|auto_calls| auto_calls.begun_at + 86_400);
    let near = |moment: i64| (moment - later).abs() < 60;
    let answers = state.runs.iter().map(|run| run.lease_until);
    if ends.chain(due.flatten()).chain(counted).chain(answers).any(near) {
        Operation::Claim
    } else {
        Operation::Advance { seconds }
    }
}
