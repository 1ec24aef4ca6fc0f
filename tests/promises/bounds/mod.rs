//! One member's doing makes nothing wait or fail for others: what is bounded, how batches are shared out, and that one duty's failure
//! stops no other.

mod claims;
mod duties;
mod threads;

use libtest_mimic::Trial;

/// All of this room.
pub fn trials() -> Vec<Trial> {
    [claims::trials(), duties::trials(), threads::trials()].into_iter().flatten().collect()
}
