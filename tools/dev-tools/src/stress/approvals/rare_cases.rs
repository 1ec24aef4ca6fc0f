//! Generates steps that lead to rare combinations.

use fastrand::Rng;

use super::generator::{Theme, chance, choose};
use super::operations::{Choice, EventInput, Membership, Operation, Outcome, QuotedHash, people};
use super::payloads::lower;
use super::registrations::AMOUNT;
use super::registry::{Approver, Policy, Role};
use super::state::{
    Delivery, DeliveryStatus, Escalation, EscalationKind, EscalationStatus, State, person_name,
};

/// Returns a step that leads to a rare combination, if the state permits one.
pub fn rare_step(rng: &mut Rng, theme: Theme, state: &State) -> Option<Operation> {
    let last = |condition: &dyn Fn(&Escalation) -> bool| last_open(state, condition);
    // A handover while a call waits for a decision, and then the decision on the displayed call.
    if matches!(theme, Theme::Anything | Theme::Edits | Theme::Confirms) {
        let held = |escalation: &Escalation| {
            matches!(escalation.kind, EscalationKind::Policy | EscalationKind::Confirm)
        };
        let stale = |escalation: &Escalation| {
            let current = state.sessions[escalation.session].agent;
            held(escalation) && escalation.call["session"]["agentId"] != current
        };
        if let Some(escalation) = last(&stale).filter(|_| chance(rng, 60)) {
            return Some(decision(rng, state, escalation));
        }
        if let Some(escalation) = last(&held).filter(|_| chance(rng, 5)) {
            let session = state.escalations[escalation].session;
            let to = if state.sessions[session].agent == "alpha" { "beta" } else { "alpha" };
            let events = vec![EventInput::Handover { to, from: None }];
            return Some(Operation::Record { session, person: people::REQUESTER, events });
        }
    }
    // The registry changes between an approval and the call.
    if matches!(theme, Theme::Confirms | Theme::Anything | Theme::Asks) && chance(rng, 25) {
        let approved =
            |delivery: &&Delivery| delivery.status == DeliveryStatus::Pending && delivery.release.is_some();
        if let Some(delivery) = state.deliveries.iter().find(approved) {
            return stricter(rng, state, delivery.agent);
        }
    }
    if theme == Theme::Asks
        && let Some(step) = answered_call(rng, state)
    {
        return Some(step);
    }
    match theme {
        // A dispatcher dies during the last attempt, or the registry changes before a repetition.
        Theme::Leases if chance(rng, 75) => {
            let called = |escalation_row: &Escalation| {
                let fence = escalation_row.delivery.map_or(0, |delivery| state.deliveries[delivery].fence);
                matches!(escalation_row.kind, EscalationKind::Policy | EscalationKind::Confirm) && fence > 0
            };
            if let Some(escalation) = last(&called) {
                let Operation::Decide { person, .. } = decision(rng, state, escalation) else { return None };
                let choice = Choice { decision: "approve", answer: None, hash: QuotedHash::Shown };
                return Some(Operation::Decide { person, escalation, choice });
            }
            let mut deliveries = state.deliveries.iter().enumerate();
            let again = deliveries.find(|(_, row)| row.status == DeliveryStatus::Pending && row.fence > 0);
            if let Some((place, row)) = again {
                let asks = state.tool(place).is_some_and(|tool| tool.policy == Policy::Ask);
                let due = row.due_at <= state.now;
                return if !asks {
                    stricter(rng, state, row.agent)
                } else if due {
                    Some(Operation::Claim)
                } else {
                    Some(Operation::Advance { seconds: 720 })
                };
            }
            let dead = |row: &Delivery| {
                let ended = state.sessions[row.session].ended;
                matches!(row.status, DeliveryStatus::Dead | DeliveryStatus::Unknown)
                    && row.fence > 0
                    && !ended
            };
            if let Some(delivery) = state.deliveries.iter().position(dead).filter(|_| chance(rng, 60)) {
                return Some(Operation::Replay { delivery, foreign: false });
            }
            let last = |(place, row): &(usize, &Delivery)| {
                let most = state.agent(row.agent).map_or(0, |agent| agent.server.max_attempts);
                let idempotent = state.tool(*place).is_some_and(|tool| tool.idempotent);
                row.status == DeliveryStatus::Running && idempotent && row.attempts >= most
            };
            let running = |row: &Delivery| row.status == DeliveryStatus::Running;
            if let Some(delivery) = state.deliveries.iter().position(running).filter(|_| chance(rng, 40)) {
                let outcome = choose(rng, &[Outcome::Failed, Outcome::Retry, Outcome::Unknown]);
                return Some(Operation::Finish { delivery, outcome, stale: false });
            }
            let running = state.deliveries.iter().enumerate().find(last)?;
            let over = running.1.lease_until.is_some_and(|end| end <= state.now);
            (!over).then_some(Operation::Advance { seconds: 4020 })
        }
        // The approver leaves before the call starts.
        Theme::People if chance(rng, 50) => {
            let mut pending =
                state.deliveries.iter().filter(|delivery| delivery.status == DeliveryStatus::Pending);
            let release = pending.find_map(|delivery| delivery.release.as_ref())?;
            let person = state.escalations[release.escalation].decided_by?;
            let change =
                choose(rng, &[Membership::Dismissed, Membership::Banned, Membership::Role(Role::Member)]);
            (person != people::REQUESTER).then_some(Operation::Person { person, change })
        }
        // Consecutive edits by different users.
        Theme::Edits if chance(rng, 65) => {
            let escalation = last(&|escalation| escalation.decisions.contains(&"edit"))?;
            let author = state.escalations[escalation].author;
            if state.escalations[escalation].revision == 5 && chance(rng, 70) {
                return None;
            }
            let may = |person: &usize| {
                *person != people::REQUESTER
                    && Some(*person) != author
                    && state.role(*person).is_some_and(Role::approves)
            };
            let other = (0..people::COUNT).find(may)?;
            let person = if chance(rng, 12) { author.unwrap_or(other) } else { other };
            let mut answer = state.inputs(state.escalations[escalation].delivery?);
            if chance(rng, 35) {
                lower(rng, &mut answer);
            } else {
                answer["note"] = serde_json::json!(state.events.len());
            }
            let choice = Choice { decision: "edit", answer: Some(answer), hash: QuotedHash::Shown };
            Some(Operation::Decide { person, escalation, choice })
        }
        // An answer with a schema, by an event.
        Theme::Asks if chance(rng, 50) => {
            let own = |escalation: &Escalation| escalation.schema && escalation.approver == Approver::Itself;
            let escalation = last(&own)?;
            let decision = choose(rng, &state.escalations[escalation].decisions);
            let answer = Some(serde_json::json!({ "text": "yes" }));
            let choice = Choice { decision, answer, hash: QuotedHash::Shown };
            let session = state.escalations[escalation].session;
            let events = vec![EventInput::Resolve { escalation, choice }];
            Some(Operation::Record { session, person: people::REQUESTER, events })
        }
        _ => None,
    }
}

/// Returns the latest open escalation that meets the condition.
fn last_open(state: &State, condition: &dyn Fn(&Escalation) -> bool) -> Option<usize> {
    let fits = |escalation_row: &Escalation| {
        escalation_row.status == EscalationStatus::Open && condition(escalation_row)
    };
    state.escalations.iter().rposition(fits)
}

/// Generates a permitted decision: an approval, or an edit that only lowers the amount.
fn decision(rng: &mut Rng, state: &State, escalation: usize) -> Operation {
    let escalation_row = &state.escalations[escalation];
    let may = |person: &usize| match escalation_row.kind {
        EscalationKind::Confirm => *person == people::REQUESTER,
        _ => {
            let approves = state.role(*person).is_some_and(Role::approves);
            approves && *person != people::REQUESTER && escalation_row.author != Some(*person)
        }
    };
    let person = (0..people::COUNT).find(may).unwrap_or_default();
    let edit = escalation_row.decisions.contains(&"edit") && chance(rng, 50);
    let choice = match escalation_row.delivery.filter(|_| edit) {
        Some(delivery) => {
            let mut answer = state.inputs(delivery);
            lower(rng, &mut answer);
            Choice { decision: "edit", answer: Some(answer), hash: QuotedHash::Shown }
        }
        None => Choice { decision: "approve", answer: None, hash: QuotedHash::Shown },
    };
    Operation::Decide { person, escalation, choice }
}

/// Generates a stricter registration of the same server.
fn stricter(rng: &mut Rng, state: &State, agent: &str) -> Option<Operation> {
    let place = state.agents.iter().position(|of| of.id == agent)?;
    let mut server = state.agents[place].server.clone();
    for tool in &mut server.tools {
        if chance(rng, 70) {
            tool.policy = Policy::Ask;
        } else {
            tool.amount_pointer = Some(AMOUNT.to_owned());
            tool.refuse_above = Some(10_000);
        }
    }
    Some(Operation::Register { agent: place, server })
}

/// Generates decisions on calls with answers: an edit, a decision by the author, or the requester's
/// own lower amount.
fn answered_call(rng: &mut Rng, state: &State) -> Option<Operation> {
    let last = |condition: &dyn Fn(&Escalation) -> bool| last_open(state, condition);
    let lowers = |delivery: usize| state.tool(delivery).is_some_and(|tool| tool.release_lowered_amount);
    let own = |escalation_row: &Escalation| {
        escalation_row.kind == EscalationKind::AgentAsked
            && escalation_row.approver == Approver::Itself
            && escalation_row.decisions.contains(&"edit")
            && escalation_row.delivery.is_some_and(lowers)
    };
    if let Some(escalation) = last(&own).filter(|_| chance(rng, 50)) {
        let mut answer = state.inputs(state.escalations[escalation].delivery?);
        lower(rng, &mut answer);
        let choice = Choice { decision: "edit", answer: Some(answer), hash: QuotedHash::Shown };
        return Some(Operation::Decide { person: people::REQUESTER, escalation, choice });
    }
    let words = |escalation_row: &Escalation| {
        escalation_row.kind == EscalationKind::Policy && escalation_row.call["decision"].is_object()
    };
    let escalation = last(&words).filter(|_| chance(rng, 60))?;
    let escalation_row = &state.escalations[escalation];
    let named = escalation_row.call["decision"]["decidedBy"].as_str()?;
    let answerer = (0..people::COUNT).find(|person| person_name(*person) == named)?;
    if escalation_row.author != Some(answerer) {
        let choice = Choice { decision: "approve", answer: None, hash: QuotedHash::Shown };
        return Some(Operation::Decide { person: answerer, escalation, choice });
    }
    let may = |person: &usize| {
        let approves = state.role(*person).is_some_and(Role::approves);
        approves && *person != people::REQUESTER && *person != answerer
    };
    let person = (0..people::COUNT).find(may)?;
    let mut answer = state.inputs(escalation_row.delivery?);
    answer["note"] = serde_json::json!(state.events.len());
    let choice = Choice { decision: "edit", answer: Some(answer), hash: QuotedHash::Shown };
    Some(Operation::Decide { person, escalation, choice })
}
