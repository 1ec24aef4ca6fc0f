//! What operators see: the lines that functions write, the metrics in them, and the alarms and pages that rest on both.

mod alarms;
mod emf;
mod emitted;
mod pages;
mod runbook;
mod scene;
mod watched;

use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    [alarms::trials(), emf::trials(), pages::trials(), runbook::trials()].into_iter().flatten().collect()
}
