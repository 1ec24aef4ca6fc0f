//! Steps towards what many steps have to come together for.

use fastrand::Rng;

use super::generator::{Theme, chance, one};
use super::operations::{Choice, Given, Hash, Membership, Operation, people};
use super::registry::{Approver, Role};
use super::state::{Escalation, Standing, State, Status};

/// A step towards what many steps have to come together for.
pub fn rare(rng: &mut Rng, theme: Theme, state: &State) -> Option<Operation> {
    let open = |of: &usize| state.escalations[*of].standing == Standing::Open;
    let last = |wanted: &dyn Fn(&Escalation) -> bool| {
        (0..state.escalations.len()).rev().find(|of| open(of) && wanted(&state.escalations[*of]))
    };
    match theme {
        // Whoever approved leaves before the call begins.
        Theme::People if chance(rng, 50) => {
            let mut pending = state.deliveries.iter().filter(|delivery| delivery.status == Status::Pending);
            let release = pending.find_map(|delivery| delivery.release.as_ref())?;
            let person = state.escalations[release.escalation].decided_by?;
            let change =
                one(rng, &[Membership::Dismissed, Membership::Banned, Membership::Role(Role::Member)]);
            (person != people::REQUESTER).then_some(Operation::Person { person, change })
        }
        // One edit after the other, each by somebody else.
        Theme::Edits if chance(rng, 85) => {
            let escalation = last(&|escalation| escalation.decisions.contains(&"edit"))?;
            let author = state.escalations[escalation].author;
            let may = |person: &usize| {
                *person != people::REQUESTER
                    && Some(*person) != author
                    && state.role(*person).is_some_and(Role::approves)
            };
            let person = (0..people::COUNT).find(may)?;
            let mut answer = state.inputs(state.escalations[escalation].delivery?);
            answer["note"] = serde_json::json!(state.events.len());
            let choice = Choice { decision: "edit", answer: Some(answer), hash: Hash::Shown };
            Some(Operation::Decide { person, escalation, choice })
        }
        // An answer that has a schema, by an event.
        Theme::Asks if chance(rng, 30) => {
            let own = |escalation: &Escalation| escalation.schema && escalation.approver == Approver::Itself;
            let escalation = last(&own)?;
            let decision = one(rng, &state.escalations[escalation].decisions);
            let answer = Some(serde_json::json!({ "text": "yes" }));
            let choice = Choice { decision, answer, hash: Hash::Shown };
            let session = state.escalations[escalation].session;
            let events = vec![Given::Resolve { escalation, choice }];
            Some(Operation::Record { session, person: people::REQUESTER, events })
        }
        _ => None,
    }
}
