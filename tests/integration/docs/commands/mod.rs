//! Every command of the documentation runs as it stands.
//!
//! The blocks of a page run in one shell, in their order. The shell finds only the programs of
//! [`sandbox`], so a command with another program fails. Most programs are real: they act on a local
//! stack and a fake of AWS. The others record their arguments, which [`recorded`] checks.
//! `admin_commands` runs the blocks with `cargo admin`.

mod effects;
mod page;
mod recorded;
mod sandbox;
mod variables;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use dev_tools::dev::SeedData;
use local_stack::LocalStack;
use local_stack::aws::FakeAws;

use crate::doctor::stack::settings;
use crate::support::skip;
use sandbox::Sandbox;

#[tokio::test]
async fn commands_of_every_page_run_as_they_stand() -> Result<()> {
    if let Some(missing) = sandbox::missing_program() {
        return skip::skip(&format!("no {missing}"));
    }
    skip::with_tools(run_all_pages()).await
}

async fn run_all_pages() -> Result<()> {
    let pages = page::all()?;
    let stack = LocalStack::start().await?;
    let seed = SeedData::create(&stack).await?;
    seed.register_agent_tools(&stack).await?;
    let aws = FakeAws::start(&settings()).await?;
    let variables = variables::start(&stack, &seed, &aws).await?;
    let sandbox = Sandbox::new(&stack, &aws).await?;
    let (mut calls, mut problems) = (Vec::new(), Vec::new());
    for page in pages.iter().filter(|page| !page.script().is_empty() || !page.queries().is_empty()) {
        let checked = async {
            let ran = sandbox.run(page, &variables.all).await?;
            calls.extend(ran.calls);
            effects::check(&page.path, &ran.shown, &stack, &sandbox).await.context(ran.shown)
        };
        if let Err(error) = checked.await {
            problems.push(format!("{}: {error:#}", page.path));
        }
    }
    problems.extend(recorded::check(&calls, &sandbox).await?);
    ensure!(problems.is_empty(), "{}", problems.join("\n\n"));
    Ok(())
}

/// A block in another language would run nowhere.
#[test]
fn commands_are_in_blocks_of_the_known_languages() -> Result<()> {
    for page in page::all()? {
        for language in page.languages() {
            ensure!(page::LANGUAGES.contains(&language), "{}: a block in {language:?}", page.path);
        }
    }
    Ok(())
}

/// `<name>` is a redirection in a shell, and `…` would reach the program.
#[test]
fn values_of_commands_are_variables_that_the_page_describes() -> Result<()> {
    for page in page::all()? {
        let (script, path) = (page.script(), &page.path);
        ensure!(!script.contains('…'), "{path}: a command with an ellipsis");
        let undescribed: BTreeSet<&str> = page::variables(&script)
            .into_iter()
            .filter(|name| !page.text.contains(&format!("`{name}`")))
            .collect();
        ensure!(undescribed.is_empty(), "{path} does not describe {undescribed:?}");
    }
    Ok(())
}
