//! The rules of approval taken out of the database, one at a time: histories must find the difference.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};

use super::env::Arena;
use super::history::generated;
use super::rules::{FEW, RULES, Rule};
use super::{WORKERS, seed_of};
use crate::stress::measurement::Figure;
use crate::stress::{Size, Told};

/// Histories in which each has to be found.
const MOST_HISTORIES: usize = 1000;

/// In how many histories a rule was missed until it was found.
struct Hunt {
    rule: &'static Rule,
    histories: usize,
    found: Option<String>,
}

pub async fn run(seed: u64, count: usize, size: Size) -> Result<Told> {
    let few = |rule: &&Rule| FEW.contains(&(rule.of, rule.text));
    let rules: Vec<&'static Rule> =
        RULES.iter().filter(|rule| size == Size::Full || few(rule)).take(count).collect();
    known(&rules).await?;
    let rules = Arc::new(rules);
    let next = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> =
        (0..WORKERS).map(|_| tokio::spawn(work(seed, Arc::clone(&rules), Arc::clone(&next)))).collect();
    let mut hunts = Vec::new();
    for worker in workers {
        hunts.extend(worker.await??);
    }
    let name =
        |hunt: &Hunt| format!("{}: {:?} instead of {:?}", hunt.rule.of, hunt.rule.instead, hunt.rule.text);
    let missed: Vec<String> = hunts.iter().filter(|hunt| hunt.found.is_none()).map(name).collect();
    let told: Vec<String> = hunts
        .iter()
        .map(|hunt| {
            let found = hunt.found.as_deref().unwrap_or("not found");
            format!("{} ({} histories)\n{found}", name(hunt), hunt.histories)
        })
        .collect();
    let most = hunts.iter().filter(|hunt| hunt.found.is_some()).map(|hunt| hunt.histories).max();
    let figures = vec![
        Figure::exactly("rules taken out and found", hunts.len() - missed.len(), rules.len()),
        Figure::violations("rules taken out and not found", &missed),
        Figure::told("histories, all together", hunts.iter().map(|hunt| hunt.histories).sum()),
        Figure::told("histories, the most for one rule", most.unwrap_or_default()),
    ];
    Ok((figures, told.join("\n")))
}

/// Refuses rules that are not in the functions any more: they would be taken out for nothing.
async fn known(rules: &[&'static Rule]) -> Result<()> {
    let mut arena = Arena::new().await?;
    let mut unknown = Vec::new();
    for rule in rules {
        if !arena.definition(rule.of).await?.contains(rule.text) {
            unknown.push(format!("{}: {:?}", rule.of, rule.text));
        }
    }
    arena.remove().await?;
    ensure!(unknown.is_empty(), "there are no such texts any more: {}", unknown.join("; "));
    Ok(())
}

async fn work(seed: u64, rules: Arc<Vec<&'static Rule>>, next: Arc<AtomicUsize>) -> Result<Vec<Hunt>> {
    let mut hunts = Vec::new();
    while let Some(rule) = rules.get(next.fetch_add(1, Ordering::Relaxed)) {
        let hunt = hunt(seed, rule).await.with_context(|| format!("without a rule of {}", rule.of))?;
        let found = if hunt.found.is_some() { "found in" } else { "NOT found in" };
        eprintln!("{}: {:?}: {found} {} histories", rule.of, rule.text, hunt.histories);
        hunts.push(hunt);
    }
    Ok(hunts)
}

async fn hunt(seed: u64, rule: &'static Rule) -> Result<Hunt> {
    let mut arena = Arena::new().await?;
    let whole = arena.definition(rule.of).await?;
    arena.apply(&whole.replace(rule.text, rule.instead)).await?;
    let mut hunt = Hunt { rule, histories: 0, found: None };
    while hunt.histories < MOST_HISTORIES && hunt.found.is_none() {
        // Mostly where the rule is at work, and sometimes anywhere.
        let theme = (hunt.histories % 4 != 3).then_some(rule.theme);
        let history = generated(&mut arena, seed_of(seed, hunt.histories), theme).await?;
        hunt.histories += 1;
        hunt.found = history.mismatch.map(|mismatch| mismatch.differences.join("\n"));
    }
    arena.remove().await?;
    Ok(hunt)
}
