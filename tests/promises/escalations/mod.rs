//! Escalations: who is shown what waits for a person, who decides, and what a decision is good for.

mod amounts;
mod answers;
mod authority;
mod authors;
mod bounds;
mod endings;
mod events;
mod lists;
mod lowered;
mod membership;
pub(crate) mod office;
mod org_roles;
mod people;
mod sent;
mod subjects;
mod tables;
mod tokens;
mod totals;
mod unreadable;
mod ways;
mod winners;
mod withdrawals;

use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    [
        lists::trials(),
        people::trials(),
        tokens::trials(),
        subjects::trials(),
        winners::trials(),
        answers::trials(),
        endings::trials(),
        events::trials(),
        amounts::trials(),
        unreadable::trials(),
        ways::trials(),
        authors::trials(),
        lowered::trials(),
        withdrawals::trials(),
        authority::trials(),
        sent::trials(),
        membership::trials(),
        org_roles::trials(),
        totals::trials(),
        bounds::trials(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
