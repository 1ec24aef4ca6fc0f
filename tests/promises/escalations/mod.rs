//! Escalations: who is shown what waits for a person, who decides, and what a decision is good for.

mod answers;
mod endings;
mod events;
mod lists;
pub(crate) mod office;
mod people;
mod subjects;
mod tokens;
mod winners;

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
    ]
    .into_iter()
    .flatten()
    .collect()
}
