//! Mutation test: removes one approval rule at a time from the database, and requires that
//! histories detect it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};

use super::env::HistoryDb;
use super::history::run_generated;
use super::rules::{FEW, Rule, all_rules};
use super::{WORKERS, seed_of};
use crate::stress::measurement::Measurement;
use crate::stress::{Report, Size};

/// Maximum number of histories per rule. Most rules are detected within 100, and a few need
/// thousands, because many steps have to coincide.
const MAX_HISTORIES: usize = 10_000;

/// The number of histories until a removed rule was detected.
struct Detection {
    rule: &'static Rule,
    histories: usize,
    found: Option<String>,
}

pub async fn run(seed: u64, count: usize, size: Size) -> Result<Report> {
    let few = |rule: &&Rule| FEW.contains(&(rule.of, rule.text));
    let rules: Vec<&'static Rule> =
        all_rules().filter(|rule| size == Size::Full || few(rule)).take(count).collect();
    check_rules_exist().await?;
    let rules = Arc::new(rules);
    let next = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> =
        (0..WORKERS).map(|_| tokio::spawn(work(seed, Arc::clone(&rules), Arc::clone(&next)))).collect();
    let mut detections = Vec::new();
    for worker in workers {
        detections.extend(worker.await??);
    }
    let name = |detection: &Detection| {
        format!("{}: {:?} instead of {:?}", detection.rule.of, detection.rule.instead, detection.rule.text)
    };
    let missed: Vec<String> =
        detections.iter().filter(|detection| detection.found.is_none()).map(name).collect();
    let reports: Vec<String> = detections
        .iter()
        .map(|detection| {
            let found = detection.found.as_deref().unwrap_or("not detected");
            format!("{} ({} histories)\n{found}", name(detection), detection.histories)
        })
        .collect();
    let most = detections
        .iter()
        .filter(|detection| detection.found.is_some())
        .map(|detection| detection.histories)
        .max();
    let measurements = vec![
        Measurement::exactly("rules removed and detected", detections.len() - missed.len(), rules.len()),
        Measurement::violations("rules removed and not detected", &missed),
        Measurement::info("histories in total", detections.iter().map(|detection| detection.histories).sum()),
        Measurement::info("most histories for one rule", most.unwrap_or_default()),
    ];
    Ok((measurements, reports.join("\n")))
}

/// Rejects rules whose text is not in the function's definition, also those of a full run only.
async fn check_rules_exist() -> Result<()> {
    let mut db = HistoryDb::new().await?;
    let mut unknown = Vec::new();
    for rule in all_rules() {
        if !db.definition(rule.of).await?.contains(rule.text) {
            unknown.push(format!("{}: {:?}", rule.of, rule.text));
        }
    }
    db.remove().await?;
    ensure!(unknown.is_empty(), "the functions do not contain these texts: {}", unknown.join("; "));
    Ok(())
}

async fn work(seed: u64, rules: Arc<Vec<&'static Rule>>, next: Arc<AtomicUsize>) -> Result<Vec<Detection>> {
    let mut detections = Vec::new();
    while let Some(rule) = rules.get(next.fetch_add(1, Ordering::Relaxed)) {
        let detection = detect(seed, rule).await.with_context(|| format!("without a rule of {}", rule.of))?;
        let found = if detection.found.is_some() { "detected after" } else { "NOT detected in" };
        eprintln!("{}: {:?}: {found} {} histories", rule.of, rule.text, detection.histories);
        detections.push(detection);
    }
    Ok(detections)
}

async fn detect(seed: u64, rule: &'static Rule) -> Result<Detection> {
    let mut db = HistoryDb::new().await?;
    let definition = db.definition(rule.of).await?;
    db.apply(&definition.replace(rule.text, rule.instead)).await?;
    let mut detection = Detection { rule, histories: 0, found: None };
    while detection.histories < MAX_HISTORIES && detection.found.is_none() {
        // Mostly with the rule's theme, sometimes with a random one.
        let theme = (detection.histories % 4 != 3).then_some(rule.theme);
        let history = run_generated(&mut db, seed_of(seed, detection.histories), theme).await?;
        detection.histories += 1;
        detection.found = history.mismatch.map(|mismatch| mismatch.differences.join("\n"));
    }
    db.remove().await?;
    Ok(detection)
}
